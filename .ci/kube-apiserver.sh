#!/usr/bin/env bash
# Print the path of a kube-apiserver for the live tests: KUBEBUILDER_ASSETS' one, or one built from its Go module into a
# cache outside of the checkout (about ten minutes on two cores, once for each version).
set -euo pipefail
source "$(dirname "$0")/go-once.sh"
cd "$(dirname "$0")/../tests/live/apiserver"
if [ -x "${KUBEBUILDER_ASSETS:-/nonexistent}/kube-apiserver" ]; then
  echo "$KUBEBUILDER_ASSETS/kube-apiserver"
  exit
fi
key=$(cat main.go go.mod go.sum | sha256sum | cut -c1-24)
binary=${XDG_CACHE_HOME:-$HOME/.cache}/edgerouter/kube-apiserver/$key/kube-apiserver
build() {
  GOFLAGS=-mod=readonly go build -trimpath -ldflags '-s -w' -o "$binary.building" .
  mv "$binary.building" "$binary"
}
go_once kube-apiserver "$binary" build
echo "$binary"
