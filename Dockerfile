# The router's image: a build stage that compiles, a run stage that holds the installed program and nothing else.
# Both start from one base, because the virtual environment names its interpreter by path.
#
#   docker build -t edgerouter .
#   docker run -p 80:80 -p 8080:8080 -v /var/run/docker.sock:/var/run/docker.sock:ro edgerouter --providers.docker
#
# Not as root: --user 65532 --group-add "$(stat -c %g /var/run/docker.sock)"
# Where no registry can be reached: --build-arg BASE_IMAGE=<any Debian with python3 >= 3.11 and python3-venv>
ARG BASE_IMAGE=python:3.13-slim-trixie

FROM ${BASE_IMAGE} AS build
# Where pip looks; empty means its own default.
ARG PIP_INDEX_URL
ARG PIP_EXTRA_INDEX_URL
ARG PIP_TRUSTED_HOST
ARG PIP_CERT
# 1 installs the same files uncompiled: a quicker build, a slower router.
ARG EDGEROUTER_PURE
# 1 compiles once only, without the load that the compiler learns from.
ARG EDGEROUTER_UNTRAINED
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN command -v gcc >/dev/null || { apt-get update && apt-get install -y --no-install-recommends gcc libc6-dev; }
RUN python3 -m venv /opt/edgerouter
WORKDIR /src
# What the project needs, in a layer of its own: it is built again only when pyproject.toml changes.
COPY pyproject.toml .
RUN /opt/edgerouter/bin/python -c "import tomllib; print(*tomllib.load(open('pyproject.toml', 'rb'))['project']['dependencies'], sep='\\n')" >/tmp/needed \
 && /opt/edgerouter/bin/pip install -r /tmp/needed
# All rooms in one layer: a layer without providers/ would build, without an error, a wheel that lacks the room.
COPY . .
RUN /opt/edgerouter/bin/pip install '.[redis,dns]' \
 && cd / && /opt/edgerouter/bin/python -c "import edgerouter.providers.docker, edgerouter.providers.file, edgerouter.middlewares, edgerouter.dashboard, edgerouter.config.dynamic" \
 && /opt/edgerouter/bin/pip uninstall -y setuptools pip >/dev/null

FROM ${BASE_IMAGE}
LABEL org.opencontainers.image.title="EdgeRouter" \
      org.opencontainers.image.description="An edge router: HTTP reverse proxy configured by Docker labels, Swarm services, Kubernetes Ingresses and files." \
      org.opencontainers.image.licenses="Apache-2.0"
ENV PATH=/opt/edgerouter/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
COPY --from=build /opt/edgerouter /opt/edgerouter
# A first argument that is a flag, or no program of the image, is for edgerouter: `docker run edgerouter --ping`.
RUN printf '%s\n' '#!/bin/sh' 'set -e' \
      'case "${1:-}" in' \
      '  "" | -*) set -- edgerouter "$@" ;;' \
      '  *) command -v "$1" >/dev/null 2>&1 || set -- edgerouter "$@" ;;' \
      'esac' 'exec "$@"' >/usr/local/bin/edgerouter-entrypoint \
 && chmod 755 /usr/local/bin/edgerouter-entrypoint \
 # Any user may keep the control socket and its state here.
 && mkdir -p /run/edgerouter && chmod 1777 /run/edgerouter
EXPOSE 80 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=15s --retries=3 CMD ["edgerouter", "healthcheck"]
ENTRYPOINT ["edgerouter-entrypoint"]
