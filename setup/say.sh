# How ./dev speaks: what it does and how long that takes on stderr (stdout belongs to the program that
# it runs), everything else in build/logs. Sourced by ./dev.
# shellcheck shell=bash
logs=build/logs

note() { printf '==> %s\n' "$*" >&2; }

# fail MESSAGE [LINE...]: the message, what to type on lines of its own, and the end.
fail() {
  printf 'dev: %s\n' "$1" >&2
  shift
  (($# == 0)) || printf '    %s\n' "$@" >&2
  exit 1
}

microseconds() { printf '%s' "${EPOCHREALTIME//[!0-9]/}"; }

# since MICROSECONDS: the time gone by, for people.
since() {
  local tenths=$((($(microseconds) - $1) / 100000))
  if ((tenths < 600)); then
    printf '%d.%d s' $((tenths / 10)) $((tenths % 10))
  else
    printf '%d min %d s' $((tenths / 600)) $((tenths / 10 % 60))
  fi
}

# step WHAT LOG COMMAND...: runs the command with its output in build/logs/LOG.log, named by
# $step_log; gives back the command's status.
step() {
  local what=$1 log=$2 start status=0
  shift 2
  mkdir -p "$logs" 2>/dev/null || fail "cannot write in $PWD; is it yours, and is the disk full? $(free_space .) GB are free"
  step_log=$logs/$log.log
  start=$(microseconds)
  note "$what ..."
  "$@" </dev/null >"$step_log" 2>&1 || status=$?
  ((status)) || note "$what: done in $(since "$start")"
  return $status
}

# free_space FOLDER: whole gigabytes free where the folder is.
free_space() { df -Pk "$1" | awk 'NR == 2 { print int($4 / 1048576) }'; }

# need_space GIGABYTES WHAT [HINT]
need_space() {
  local free
  free=$(free_space .)
  ((free >= $1)) || fail "$2 needs $1 GB on the disk that holds $PWD, and $free GB are free${3:+; $3}"
}

# fail_step WHAT LOG...: says in one line why a step failed: a full disk, a registry that cannot be
# reached, or else the last error that stands in the log.
fail_step() {
  local what=$1 log=$2 last
  if grep -qiE 'no space left on device|disk quota exceeded|not enough free space' "$log"; then
    fail "$what: the disk is full ($(free_space .) GB free here, $(free_space "${TMPDIR:-/tmp}") GB in ${TMPDIR:-/tmp}); free some and run this again (log: $log)"
  fi
  if grep -qE 'NewConnectionError|ConnectTimeoutError|Max retries exceeded|Name or service not known|Temporary failure|Could not resolve|Could not connect|Cannot initiate the connection|Connection (refused|timed out|failed)|Read timed out|ReadTimeout|ProxyError|Tunnel connection failed|SSLError' "$log"; then
    fail "$what: the package registry cannot be reached; check the network and the proxy or index settings of apt and pip, then run this again (log: $log)"
  fi
  last=$(grep -E '^(E|ERROR|Error|error|fatal)' "$log" | tail -n 1) || :  # no such line: "failed"
  fail "$what: ${last:-failed} (log: $log)"
}
