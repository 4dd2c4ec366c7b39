# To be sourced. go_once NAME BINARY COMMAND [ARGUMENT...]: run the command, which makes the binary with Go, where it is
# not there yet. The binary must appear whole: write beside it, then move.
go_once() {
  local name=$1 binary=$2
  shift 2
  [ ! -x "$binary" ] || return 0
  PATH="$PATH:/usr/local/go/bin"
  command -v go >/dev/null || { echo "$name: no Go compiler on PATH" >&2; return 1; }
  mkdir -p "$(dirname "$binary")"
  # Two runs at once must not build it twice.
  exec 9>"$(dirname "$binary")/lock"
  flock 9
  [ -x "$binary" ] || "$@" >&2
}
