# Configuring, building and testing. Sourced by ./dev, which sets $preset, $torch and $python.
# shellcheck shell=bash

# Compiling a file that includes torch takes about 2 GB.
jobs() {
  local cores memory
  cores=$(nproc)
  memory=$(awk '/MemAvailable/ { print int($2 / 2097152) }' /proc/meminfo)
  ((memory < cores)) && cores=$memory
  echo $((cores > 0 ? cores : 1))
}

check_compiler() {
  local compiler=${CXX:-g++}
  # A word split on purpose: CXX may hold flags.
  # shellcheck disable=SC2086
  if ! $compiler -std=c++20 -fsyntax-only -x c++ - <<<'int main() {}' 2>/dev/null; then
    [[ $preset != fuzz ]] || fail "./dev fuzz needs clang 14 with its compiler-rt (libFuzzer): \`$compiler\` does not compile an empty program"
    fail "no working C++20 compiler: \`$compiler\` does not compile an empty program; install g++ 12 or newer, or name another with CXX=..."
  fi
}

# Whether the folder was configured with its tests, which it keeps.
has_tests() { grep -qs OMNINORM_TESTS=ON "build/$preset/dev-arguments"; }

# configure TESTS (ON or OFF) [CMAKE_ARGUMENT...]. A folder that has its tests keeps them: they are built only when asked for.
configure() {
  local folder=build/$preset tests=$1 bench=$1 arguments
  if has_tests; then
    tests=ON bench=ON
  fi
  case $preset in asan | tsan | fuzz) bench=OFF ;; esac
  arguments=(--preset "$preset" -DOMNINORM_WERROR=ON "-DOMNINORM_TESTS=$tests" "-DOMNINORM_BENCH=$bench" "${@:2}")
  [[ -z ${OMNINORM_ONEDNN:-} ]] || arguments+=("-DOMNINORM_ONEDNN=$OMNINORM_ONEDNN")
  [[ $torch == OFF ]] || arguments+=("-DOMNINORM_PYTHON=$python")
  if [[ -f $folder/build.ninja && -f $folder/dev-arguments && $(<"$folder/dev-arguments") == "${arguments[*]}" ]]; then
    return
  fi
  check_compiler
  if [[ ! -d $folder ]]; then
    if [[ $torch == ON ]]; then need_space 4 "building with torch"; else need_space 1 "building"; fi
  fi
  if ! step "configuring $folder" "configure-$preset" cmake "${arguments[@]}"; then
    local reason
    # CMake's own words: the paragraph below the first "CMake Error", as one line.
    reason=$(awk '/^CMake Error/ { on = 1; next } on && NF == 0 && text { exit } on { sub(/^ +/, ""); text = text $0 " " } END { print substr(text, 1, 300) }' "$step_log")
    fail "CMake: ${reason:-failed} (log: $step_log)"
  fi
  printf '%s\n' "${arguments[*]}" >"$folder/dev-arguments"
}

# Reads ninja's or ctest's lines into the log; shows how far it is, on a terminal in one line, else
# once a minute.
watch_progress() {
  local what=$1 log=$2 line last=$SECONDS place=
  while IFS= read -r line; do
    printf '%s\n' "$line" >>"$log"
    if [[ $line =~ ^\[([0-9]+/[0-9]+)\] || $line =~ ^\ *([0-9]+/[0-9]+)\ Test ]]; then
      place=${BASH_REMATCH[1]}
      if [[ -t 2 ]]; then
        printf '\r==> %s: %s\e[K' "$what" "$place" >&2
      elif ((SECONDS - last >= 60)); then
        last=$SECONDS
        note "$what: $place"
      fi
    fi
  done
  [[ ! -t 2 || -z $place ]] || printf '\r\e[K' >&2
}

# build [NINJA_TARGET...]
build() {
  local folder=build/$preset log=$logs/build-$preset.log start
  start=$(microseconds)
  note "building $folder ..."
  mkdir -p "$logs"
  : >"$log"
  if ninja -C "$folder" -j "$(jobs)" "$@" 2>&1 </dev/null | watch_progress "building $folder" "$log"; then
    note "building $folder: done in $(since "$start")"
    return
  fi
  ! grep -qi 'no space left on device' "$log" || fail_step "building" "$log"
  awk '/(error|Error): |undefined reference|^ninja: error|Killed signal|CMake Error/ && ++n <= 12' "$log" |
    sed "s|$PWD/||g; s|\.\./\.\./||" | cut -c1-300 >&2
  fail "building failed; the whole output is in $log"
}

# run_tests [NAME] [CTEST_ARGUMENT...]
run_tests() {
  local folder=build/$preset log=$logs/test-$preset.log start status=0 select=()
  if (($#)) && [[ $1 != -* ]]; then
    select=(-R "$1")
    shift
  fi
  start=$(microseconds)
  note "testing $folder ..."
  : >"$log"
  ctest --test-dir "$folder" -j "$(nproc)" --output-on-failure --no-tests=error --timeout 600 \
    "${select[@]}" "$@" 2>&1 </dev/null | watch_progress "testing" "$log" || status=1
  # What failed with its output, and the closing lines; not the hundreds that passed.
  awk '/^ *(Start +[0-9]+:|[0-9]+\/[0-9]+ Test +#[0-9]+:.* Passed )|^Internal ctest|^Test project/ { next }
    ++n <= 400' "$log" | cat -s
  note "testing took $(since "$start") (all of it: $log)"
  ((status == 0)) || fail "tests failed; one alone: ./dev test NAME"
}
