#!/usr/bin/env bash
# Print the path of a Pebble that gives renewal information (RFC 9773), which Debian's does not: built from its Go module
# into a cache outside of the checkout (under a minute, once for each version).
set -euo pipefail
version=v2.10.1
cache=${XDG_CACHE_HOME:-$HOME/.cache}/edgerouter/pebble/$version
if [ ! -x "$cache/pebble" ]; then
  PATH="$PATH:/usr/local/go/bin"
  command -v go >/dev/null || { echo "pebble: no Go compiler on PATH" >&2; exit 1; }
  mkdir -p "$cache"
  # Two runs at once must not build it twice.
  exec 9>"$cache/lock"
  flock 9
  [ -x "$cache/pebble" ] || {
    GOBIN="$cache/building" go install -trimpath -ldflags '-s -w' "github.com/letsencrypt/pebble/v2/cmd/pebble@$version" >&2
    mv "$cache/building/pebble" "$cache/pebble"
  }
fi
echo "$cache/pebble"
