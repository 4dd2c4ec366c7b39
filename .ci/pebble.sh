#!/usr/bin/env bash
# Print the path of a Pebble that gives renewal information (RFC 9773), which Debian's does not: built from its Go module
# into a cache outside of the checkout (under a minute, once for each version).
set -euo pipefail
source "$(dirname "$0")/go-once.sh"
version=v2.10.1
cache=${XDG_CACHE_HOME:-$HOME/.cache}/edgerouter/pebble/$version
build() {
  GOBIN="$cache/building" go install -trimpath -ldflags '-s -w' "github.com/letsencrypt/pebble/v2/cmd/pebble@$version"
  mv "$cache/building/pebble" "$cache/pebble"
}
go_once pebble "$cache/pebble" build
echo "$cache/pebble"
