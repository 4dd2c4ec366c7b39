#!/bin/sh
# Installs and starts what the live tests need beside Python: peers to compare with, load tools, a Docker daemon, a Go
# compiler for the test server. Run again, it does only what is missing. Exit 0: all there. Exit 1: something is
# missing, named on standard error, one line each; the live tests that need it then say so.
set -u

log="${TMPDIR:-/tmp}/edgerouter-dockerd.log"
failed=0

missing() {
    echo "live-peers: $1" >&2
    failed=1
}

# program:package
wanted="dockerd:docker.io docker-compose:docker-compose podman:podman debootstrap:debootstrap nginx:nginx haproxy:haproxy
caddy:caddy redis-server:redis-server promtool:prometheus chromium:chromium wrk:wrk slowhttptest:slowhttptest h2load:nghttp2-client valgrind:valgrind
ab:apache2-utils curl:curl iptables:iptables ip:iproute2 gcc:gcc pebble:pebble etcd:etcd-server openssl:openssl"

has() {
    PATH="$PATH:/usr/sbin:/sbin:/usr/local/go/bin" command -v "$1" >/dev/null 2>&1
}

packages=""
for pair in $wanted; do
    has "${pair%%:*}" || packages="$packages ${pair#*:}"
done
has go || packages="$packages golang-go"

install_packages() {
    if [ "$(id -u)" -ne 0 ]; then
        missing "not root: install these packages yourself:$packages"
        return
    fi
    if ! has apt-get; then
        missing "no apt-get here: install these yourself:$packages"
        return
    fi
    # Installed peers must not take ports 80 and 443: nothing is started by the installation.
    policy=""
    if [ ! -e /usr/sbin/policy-rc.d ]; then
        policy=/usr/sbin/policy-rc.d
        printf '#!/bin/sh\nexit 101\n' >"$policy" && chmod 755 "$policy"
    fi
    export DEBIAN_FRONTEND=noninteractive
    # shellcheck disable=SC2086
    apt-get install -qq -y --no-install-recommends $packages >/dev/null 2>&1 || {
        apt-get update -qq >/dev/null 2>&1
        # shellcheck disable=SC2086
        apt-get install -qq -y --no-install-recommends $packages >/dev/null || missing "apt-get could not install:$packages"
    }
    [ -n "$policy" ] && rm -f "$policy"
}

daemon_answers() {
    docker version --format '{{.Server.Version}}' >/dev/null 2>&1
}

start_daemon() {
    if [ "$(id -u)" -ne 0 ]; then
        missing "no Docker daemon answers, and only root can start one"
        return
    fi
    # A daemon that was killed leaves its number behind, which may be another program's by now.
    number=$(cat /var/run/docker.pid 2>/dev/null)
    if [ "$(cat "/proc/$number/comm" 2>/dev/null)" != dockerd ] || grep -q '^State:.Z' "/proc/$number/status"; then
        rm -f /var/run/docker.pid
    fi
    # In the background and detached: it outlives this script, and the tests of several runs share it.
    PATH="$PATH:/usr/sbin:/sbin" setsid dockerd >"$log" 2>&1 </dev/null &
    tries=0
    until daemon_answers; do
        tries=$((tries + 1))
        if [ "$tries" -gt 120 ]; then
            missing "dockerd did not start; its last words: $(tail -n 2 "$log" | tr '\n' ' ')"
            return
        fi
        sleep 0.25
    done
}

[ -z "$packages" ] || install_packages
# Built once into a cache, about ten minutes; the tests of Kubernetes need it.
"$(dirname "$0")/kube-apiserver.sh" >/dev/null || missing "kube-apiserver could not be built (see above)"
"$(dirname "$0")/pebble.sh" >/dev/null || missing "pebble could not be built (see above)"
daemon_answers || start_daemon
exit "$failed"
