# The set-up: Debian packages, Python packages, the text to train on. Sourced by ./dev.
#
# What is asked for is named by the lists' sections. A stamp in .cache/setup tells
# that a section was found complete; it names everything that could change that.
# shellcheck shell=bash

# packages LIST SECTION...: the entries of these sections.
packages() {
  local list=$1
  shift
  awk -v wanted=" $* " '{ sub(/#.*/, ""); gsub(/[ \t]/, "") }
    /^\[/ { inside = index(wanted, " " substr($0, 2, length($0) - 2) " "); next }
    inside && NF' "$list"
}

# stamped NAME KEY: did the step NAME end well with this key?
stamped() { [[ -f .cache/setup/$1 && $(<".cache/setup/$1") == "$2" ]]; }
stamp() { mkdir -p .cache/setup && printf '%s\n' "$2" >".cache/setup/$1"; }

apt_install() {
  local options=(-y -q --no-install-recommends -o Acquire::Retries=1 -o Acquire::http::Timeout=30
    -o DPkg::Lock::Timeout=120 -o Dpkg::Use-Pty=0)
  export DEBIAN_FRONTEND=noninteractive
  # Package lists may be missing or too old; only then is the update worth its time.
  apt-get install "${options[@]}" "$@" || {
    apt-get update -q
    apt-get install "${options[@]}" "$@"
  }
}

# sections_name SECTION...: for the stamp's file.
sections_name() {
  local IFS=-
  echo "$*"
}

# setup_debian SECTION...
setup_debian() {
  local name key wanted installed missing
  name=debian-$(sections_name "$@")
  if ! command -v dpkg-query >/dev/null; then
    [[ -f .cache/setup/no-debian ]] || note "this is no Debian: the packages of setup/debian.txt must be here already"
    stamp no-debian yes
    return
  fi
  key="$* $(cksum <setup/debian.txt) $(stat -c %Y /var/lib/dpkg/status 2>/dev/null)"
  ! stamped "$name" "$key" || return 0
  wanted=$(packages setup/debian.txt "$@")
  # dpkg-query fails where one package is unknown, grep where no line is left: both are answers.
  # shellcheck disable=SC2086  # one word a package
  installed=$(dpkg-query -W -f '${db:Status-Status} ${Package}\n' $wanted 2>/dev/null | sed -n 's/^installed //p') || :
  missing=$(grep -vxF "${installed:-none}" <<<"$wanted") || :
  if [[ -n $missing ]]; then
    missing=${missing//$'\n'/ }
    if ((EUID != 0)); then
      fail "Debian packages are missing. With root, run this, then ./dev again:" \
        "sudo apt-get update && sudo apt-get install -y --no-install-recommends $missing"
    fi
    # shellcheck disable=SC2086
    step "installing Debian packages ($missing)" debian apt_install $missing || fail_step "apt-get" "$step_log"
    key="$* $(cksum <setup/debian.txt) $(stat -c %Y /var/lib/dpkg/status)"
  fi
  stamp "$name" "$key"
}

# The novels: unpacked, not installed.
setup_text() {
  local installed=usr/lib/R/site-library/janeaustenr folder=$PWD/.cache/janeaustenr package
  [[ -z ${OMNINORM_JANEAUSTENR:-} && ! -e /$installed ]] || return 0
  export OMNINORM_JANEAUSTENR=$folder
  [[ ! -e $folder/$installed ]] || return 0
  command -v apt-get >/dev/null ||
    fail "the default text is in Debian packages and there is no apt-get here; give your own with --text FILE"
  package=$(packages setup/debian.txt unpacked)
  step "fetching $package" text fetch_unpacked "$package" "$folder" ||
    fail_step "fetching $package (without it, give your own text with --text FILE)" "$step_log"
}

fetch_unpacked() {
  local package=$1 folder=$2
  rm -rf "$folder.part"
  mkdir -p "$folder.part/download"
  (
    cd "$folder.part/download"
    apt-get download "$package" || {
      ((EUID == 0)) && apt-get update -q && apt-get download "$package"
    }
  ) || return 1
  dpkg -x "$folder.part"/download/*.deb "$folder.part" || return 1
  rm -rf "$folder.part/download" "$folder"
  mv "$folder.part" "$folder"
}

# user_python: the Python that OMNINORM_PYTHON names, where it has the right torch.
user_python() {
  [[ -n ${OMNINORM_PYTHON:-} ]] || return 1
  local missing
  if ! missing=$("$OMNINORM_PYTHON" setup/python_missing.py run 2>/dev/null); then
    note "OMNINORM_PYTHON ($OMNINORM_PYTHON) does not run; using the project's own .venv"
  elif [[ -n $missing ]]; then
    note "OMNINORM_PYTHON ($OMNINORM_PYTHON) lacks $missing; using the project's own .venv"
  else
    "$OMNINORM_PYTHON" -c 'import sys; print(sys.executable)'
    return
  fi
  return 1
}


# setup_python SECTION...: sets $python to one that has them. That is the user's where it has them all,
# else the project's own .venv, which borrows the user's torch where that is the right one.
setup_python() {
  local user base missing key name
  name=python-$(sections_name "$@")
  key="$(cksum <setup/python.txt) ${OMNINORM_PYTHON:-}"
  if [[ -f .cache/setup/$name ]]; then
    local saved_key saved_state
    if { IFS= read -r saved_key && IFS= read -r python && IFS= read -r saved_state; } <".cache/setup/$name" &&
      [[ $saved_key == "$key" && $(stat -c '%n %Y' "${saved_state% *}" 2>/dev/null) == "$saved_state" && -x $python ]]; then
      return
    fi
  fi
  if user=$(user_python); then
    python=$user
    missing=$("$user" setup/python_missing.py "$@")
    base=$user
  else
    missing=all
    base=python3
    command -v python3 >/dev/null ||
      fail "no python3 found; install it, or build without torch: OMNINORM_TORCH=OFF ./dev build"
  fi
  if [[ -n $missing ]]; then
    make_venv "$base" "$user"
    python=$PWD/.venv/bin/python
    missing=$("$python" setup/python_missing.py "$@")
    if [[ -n $missing ]]; then
      mapfile -t missing <<<"$missing"
      pip_install "$base" "${missing[@]}"
    fi
  fi
  local folder
  folder=$("$python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
  stamp "$name" "$key"$'\n'"$python"$'\n'"$(stat -c '%n %Y' "$folder")"
}

# make_venv BASE USER: .venv of the Python BASE; with USER it finds that one's packages after its own.
make_venv() {
  local base=$1 user=$2 identity site
  identity="$("$base" -c 'import sys; print(sys.version, sys.base_prefix)') ${user:-own}"
  if [[ -x .venv/bin/python && -f .venv/omninorm && $(<.venv/omninorm) == "$identity" ]]; then
    return
  fi
  rm -rf .venv
  local options=()
  if ! "$base" -c 'import ensurepip' 2>/dev/null; then
    if [[ -n $user ]]; then
      options=(--without-pip)  # pip_install asks the user's pip then
    else
      setup_debian venv
    fi
  fi
  step "making .venv with $("$base" --version)" venv "$base" -m venv "${options[@]}" .venv || fail_step "python -m venv" "$step_log"
  if [[ -n $user ]]; then
    site=$(.venv/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
    "$user" -c 'import sysconfig; print(sysconfig.get_path("purelib"))' >"$site/omninorm_user_packages.pth"
  fi
  printf '%s\n' "$identity" >.venv/omninorm
}

pip_install() {
  local base=$1 pip=("$PWD/.venv/bin/python" -m pip) missing=("${@:2}")
  "${pip[@]}" --version >/dev/null 2>&1 || pip=("$base" -m pip --python "$PWD/.venv/bin/python")
  if [[ ${missing[*]} == *torch* ]]; then
    need_space 3 "installing torch" "pip's default build, with CUDA, needs 10"
  fi
  step "installing Python packages (${missing[*]})" pip "${pip[@]}" install --no-input --progress-bar off \
    --disable-pip-version-check --retries 2 "${missing[@]}" && return
  if grep -q 'No matching distribution found for torch' "$step_log" && ! grep -q 'NewConnectionError\|Temporary failure' "$step_log"; then
    fail "pip found no torch for $("$base" --version); name a Python that has it with OMNINORM_PYTHON (log: $step_log)"
  fi
  fail_step "pip" "$step_log"
}
