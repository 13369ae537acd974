# ./dev lint, the part that needs no build, and ./dev format. Sourced by ./dev.
# shellcheck shell=bash

# ours PATTERN...: files of the repository, new ones too.
ours() { git ls-files -co --exclude-standard -- "$@" | while IFS= read -r file; do [[ ! -f $file ]] || echo "$file"; done; }

ruff() {
  if [[ -x .venv/bin/ruff ]]; then .venv/bin/ruff "$@"; else "$python" -m ruff "$@"; fi
}

lint_failed=0
# check WHAT COMMAND...: the command says nothing and succeeds, or what it says is shown.
check() {
  local what=$1 output status=0
  shift
  output=$("$@" 2>&1) || status=1
  if ((status)) || [[ -n $output ]]; then
    note "lint: $what"
    sed -n '1,40p' <<<"$output" >&2
    lint_failed=1
  fi
}

check_cpp_format() { ours '*.h' '*.cc' '*.c' '*.h.in' | xargs -r clang-format-14 --dry-run -Werror; }
check_python() {
  mapfile -t files < <(ours '*.py')
  ((${#files[@]} == 0)) || { ruff check -q "${files[@]}" && ruff format -q --check "${files[@]}"; }
}
# The programs in the documentation, which tests/docs builds and runs: the same format.
check_examples() {
  local folder=build/examples pages
  rm -rf "$folder"
  pages=$(printf '%s;' README.md docs/c_api.md docs/python.md docs/scale.md docs/scalers.md docs/ops/*.md)
  cmake "-DPAGES=${pages%;}" "-DLANGUAGES=cpp;c;python" \
    -DFOLDER="$PWD/$folder" -P tests/docs/examples.cmake || return
  clang-format-14 --style="file:.clang-format" --dry-run -Werror "$folder"/*.cpp "$folder"/*.c || return
  # By name: ruff takes nothing in a folder that git ignores, and *.python for nothing of its own.
  local file
  for file in "$folder"/*.python; do
    ruff check -q --stdin-filename "${file##*/}.py" - <"$file" && ruff format -q --check --stdin-filename "${file##*/}.py" - <"$file" ||
      { echo "$file"; return 1; }
  done
  # The worked example.
  cmake "-DPAGES=docs/adding-a-norm.md" -DLANGUAGES=diff -DFOLDER="$PWD/$folder" -P tests/docs/examples.cmake || return
  for file in "$folder"/*.diff; do
    git apply --check "$file" || { echo "$file"; return 1; }
  done
}
check_shell() {
  # What dev sources is checked with it.
  shellcheck -x -S warning dev .ci/run
}
# Op files hold policy; loops live in the mechanism files (src/cpu, src/reference).
check_loops() {
  ours 'src/ops/*' | xargs awk '{ code = $0; sub(/\/\/.*/, "", code) }
    code ~ /(^|[^A-Za-z_])(for|while) *\(/ { print FILENAME ":" FNR ": " $0 }'
}
# [x] keeps a pattern from finding itself.
check_paths() {
  ours | xargs awk '/pypi[.]org|[p]ythonhosted|[d]eb\.debian\.org|\/[w]ork\/(main|shared)|\/[f]arm\/|\/[r]oot\/|\/opt\/[o]mni/ {
    print FILENAME ":" FNR ": " substr($0, 1, 120) }'
}
check_lengths() {
  ours '*.cc' '*.c' '*.h' '*.py' '*.js' '*.css' '*.html' '*.sh' '*.cmake' dev | xargs wc -l | awk '$1 > 450 && $2 != "total"'
}

lint_files() {
  local start
  start=$(microseconds)
  note "lint: format, Python, shell, loops in op files, paths, file lengths ..."
  check "clang-format-14 (./dev format mends it)" check_cpp_format
  check "ruff (./dev format mends the format)" check_python
  check "an example in README.md or docs/ (build/examples has them as files)" check_examples
  check "shell scripts" check_shell
  check "a loop in an op file; loops belong into src/cpu or src/reference" check_loops
  check "a path of one machine, or a registry's host" check_paths
  check "files over 450 lines; split them" check_lengths
  ((lint_failed == 0)) || fail "lint found the above"
  note "lint: files are clean ($(since "$start"))"
}

format_files() {
  ours '*.h' '*.cc' '*.c' | xargs -r clang-format-14 -i
  mapfile -t files < <(ours '*.py')
  ((${#files[@]} == 0)) || {
    ruff check -q --fix --exit-zero "${files[@]}"
    ruff format -q "${files[@]}"
  }
  note "formatted; git diff shows what changed"
}
