#!/usr/bin/env bash
# Print the path of a kube-apiserver for the live tests: KUBEBUILDER_ASSETS' one, or one built from its Go module into a
# cache outside of the checkout (about ten minutes on two cores, once for each version).
set -euo pipefail
cd "$(dirname "$0")/../tests/live/apiserver"
if [ -x "${KUBEBUILDER_ASSETS:-/nonexistent}/kube-apiserver" ]; then
  echo "$KUBEBUILDER_ASSETS/kube-apiserver"
  exit
fi
cache=${XDG_CACHE_HOME:-$HOME/.cache}/edgerouter/kube-apiserver
key=$(cat main.go go.mod go.sum | sha256sum | cut -c1-24)
binary=$cache/$key/kube-apiserver
if [ ! -x "$binary" ]; then
  PATH="$PATH:/usr/local/go/bin"
  command -v go >/dev/null || { echo "kube-apiserver: no Go compiler on PATH" >&2; exit 1; }
  mkdir -p "$cache/$key"
  # Two runs at once must not build it twice.
  exec 9>"$cache/$key/lock"
  flock 9
  [ -x "$binary" ] || {
    GOFLAGS=-mod=readonly go build -trimpath -ldflags '-s -w' -o "$binary.building" . >&2
    mv "$binary.building" "$binary"
  }
fi
echo "$binary"
