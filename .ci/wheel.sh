#!/usr/bin/env bash
# Print the path of a wheel of this checkout, building it where the cache has none of the same content.
# Compiling takes minutes; a checkout whose sources, Python and compiler are the same gets the same wheel.
set -euo pipefail
cd "$(dirname "$0")/.."
python=$1
cache=${XDG_CACHE_HOME:-$HOME/.cache}/edgerouter/wheels
sources() {
  find -L edgerouter -type f -not -name '*.py[co]' -not -path '*/__pycache__/*' -not -name '*.so' -print0
  printf '%s\0' pyproject.toml setup.py README.md LICENSE benchmarks/_training.py benchmarks/_worker.py benchmarks/_routes.py
}
key=$({
  sources | sort -z | xargs -0 sha256sum
  "$python" -VV
  uname -m
  (${CC:-cc} --version || echo none) 2>/dev/null | head -n 1
  echo "pure=${EDGEROUTER_PURE:-0} untrained=${EDGEROUTER_UNTRAINED:-0} flags=${CFLAGS:-}"
} | sha256sum | cut -c1-24)
mkdir -p "$cache"
if ! ls "$cache/$key"/*.whl >/dev/null 2>&1; then
  work=$(mktemp -d "$cache/building.XXXXXX")
  trap 'rm -rf "$work"' EXIT
  mkdir "$work/tree" "$work/out"
  sources | tar --null -T - --dereference -cf - | tar -xf - -C "$work/tree"
  for room in providers middlewares dashboard config; do
    cp -RL "$room" "$work/tree/$room"
    rm -rf "$work/tree/edgerouter/$room"
    ln -s "../$room" "$work/tree/edgerouter/$room"
  done
  "$python" -m pip wheel --quiet --no-deps -w "$work/out" "$work/tree" >&2
  mv -T "$work/out" "$cache/$key" 2>/dev/null || true
fi
ls "$cache/$key"/*.whl
