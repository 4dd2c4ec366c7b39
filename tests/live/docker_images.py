"""Images for live tests, made on this machine: no registry is asked. What is built is kept outside the checkout.

Lives here: the test server's image, the base image for the Dockerfile, the router's image. Each is tagged with the
hash of what it is made of, so that a second run builds nothing.
"""

from __future__ import annotations

import functools
import hashlib
import io
import os
import platform
import shutil
import subprocess
import tarfile
from collections.abc import Iterable, Sequence
from pathlib import Path

HERE = Path(__file__).parent
CHECKOUT = HERE.parents[1]
BASE_PACKAGES = "python3,python3-venv,python3-dev,gcc,libc6-dev,ca-certificates,tzdata"
BASE_SUITE = "bookworm"
BUILD = 1500.0  # seconds that an image or a program may take, once
CA_BUNDLE = "etc/ssl/certs/ca-certificates.crt"
# What goes into the router's image besides the rooms; the same list as in .dockerignore.
ROUTER_PARTS = (
    *("Dockerfile", ".dockerignore", "pyproject.toml", "setup.py", "README.md", "LICENSE"),
    *("benchmarks/_training.py", "benchmarks/_worker.py", "benchmarks/_routes.py"),
)
ROUTER_ROOMS = ("edgerouter", "providers", "middlewares", "dashboard", "config")


def run(command: Sequence[str], data: bytes | None = None, deadline: float = 120.0, **settings: object) -> str:
    """Run a program to its end and return what it printed; raises AssertionError with its errors, or where it did not
    end within ``deadline`` seconds (a daemon that hangs must not hang the tests)."""
    try:
        done = subprocess.run(command, input=data, capture_output=True, timeout=deadline, **settings)  # type: ignore[call-overload]
    except subprocess.TimeoutExpired as late:
        said = (late.stdout or b"") + (late.stderr or b"")
        raise AssertionError(f"{' '.join(command)} did not end within {deadline:.0f} s; it printed {said!r}") from None
    if done.returncode:
        output = (done.stdout + done.stderr).decode(errors="replace")
        raise AssertionError(f"{' '.join(command[:6])} ended with {done.returncode}:\n{output[-6000:]}")
    return str(done.stdout.decode(errors="replace"))


def cache() -> Path:
    """The folder for what is built once."""
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "edgerouter-tests"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def digest(files: Iterable[Path], *words: str) -> str:
    """Hash of files (names and content) and words."""
    mark = hashlib.sha256("\0".join(words).encode())
    for file in sorted(files):
        mark.update(file.name.encode() + b"\0" + file.read_bytes() + b"\0")
    return mark.hexdigest()[:16]


def exists(tag: str) -> bool:
    """True when the daemon has that image."""
    return subprocess.run(["docker", "image", "inspect", tag], capture_output=True, timeout=60).returncode == 0


def go() -> str:
    """The Go compiler."""
    found = shutil.which("go") or shutil.which("/usr/local/go/bin/go") or shutil.which("/usr/lib/go/bin/go")
    assert found, "the live tests' server is written in Go: install golang-go"
    return found


@functools.cache
def server_binary() -> Path:
    """The test server, built without libc, from ``images/server``."""
    source = HERE / "images" / "server"
    program = cache() / f"server-{digest(source.iterdir())}"
    if not program.exists():
        fresh = program.with_suffix(f".{os.getpid()}")
        command = [go(), "build", "-trimpath", "-ldflags=-s -w", "-o", str(fresh), "."]
        run(command, deadline=BUILD, cwd=source, env={**os.environ, "CGO_ENABLED": "0"})
        fresh.rename(program)
    return program


def _import_server(tag: str, *changes: str) -> str:
    if not exists(tag):
        layer = io.BytesIO()
        with tarfile.open(fileobj=layer, mode="w") as archive:
            archive.add(server_binary(), "server")
        flags = [word for change in ('ENTRYPOINT ["/server"]', *changes) for word in ("--change", change)]
        run(["docker", "import", *flags, "-", tag], layer.getvalue())
    return tag


@functools.cache
def server_image() -> str:
    """An image that holds the test server and nothing else; exposes port 80."""
    return _import_server(f"edgerouter-test/server:{server_binary().name.split('-')[1]}", "EXPOSE 80")


@functools.cache
def checked_server_image() -> str:
    """The test server with a HEALTHCHECK of its own; intervals are given when it is run."""
    tag = f"edgerouter-test/checked:{server_binary().name.split('-')[1]}"
    return _import_server(tag, "EXPOSE 80", 'HEALTHCHECK CMD ["/server", "health"]')


@functools.cache
def named_server_image(name: str, port: int) -> str:
    """The test server under a name that a scenario uses (``catalog-image``); listens on ``port`` and exposes none."""
    made = _import_server(f"edgerouter-test/{name}:{server_binary().name.split('-')[1]}", f"ENV PORTS={port}")
    run(["docker", "tag", made, name])
    return name


def _debootstrap(tag: str) -> None:
    root = cache() / f"root-{os.getpid()}"
    try:
        run(["debootstrap", "--variant=minbase", f"--include={BASE_PACKAGES}", BASE_SUITE, str(root)], deadline=BUILD)
        # The machine may stand behind a proxy that signs with a CA of its own.
        shutil.copy(f"/{CA_BUNDLE}", root / CA_BUNDLE)
        for litter in (root / "var/cache/apt/archives").glob("*.deb"):
            litter.unlink()
        tar = cache() / f"base-{tag.split(':')[1]}.tar"
        run(["tar", "-C", str(root), "--one-file-system", "-cf", f"{tar}.{os.getpid()}", "."])
        Path(f"{tar}.{os.getpid()}").rename(tar)
    finally:
        shutil.rmtree(root, ignore_errors=True)


@functools.cache
def base_image() -> str:
    """A Debian with Python and a compiler, in place of the Dockerfile's default base, which needs a registry."""
    bundle = Path(f"/{CA_BUNDLE}")
    tag = f"edgerouter-test/base:{digest([bundle], BASE_PACKAGES, BASE_SUITE, platform.machine())}"
    if not exists(tag):
        tar = cache() / f"base-{tag.split(':')[1]}.tar"
        if not tar.exists():
            _debootstrap(tag)
        run(["docker", "import", str(tar), tag])
    return tag


def _pip_settings() -> list[str]:
    """pip's index settings of this machine as build arguments; nothing of them stands in the repository."""
    names = {"index-url": "PIP_INDEX_URL", "extra-index-url": "PIP_EXTRA_INDEX_URL", "trusted-host": "PIP_TRUSTED_HOST"}
    listing = run(["python3", "-m", "pip", "config", "list"])
    found = {}
    for line in listing.splitlines():
        key, _, value = line.partition("=")
        name = names.get(key.rsplit(".", 1)[-1])
        if name:
            found[name] = value.strip().strip("'")
    found["PIP_CERT"] = f"/{CA_BUNDLE}"
    return [f"{name}={value}" for name, value in found.items()]


def _router_files() -> list[Path]:
    rooms = (path for room in ROUTER_ROOMS for path in (CHECKOUT / room).rglob("*"))
    files = [path for path in rooms if path.is_file() and path.suffix not in (".pyc", ".so")]
    return files + [CHECKOUT / part for part in ROUTER_PARTS if (CHECKOUT / part).exists()]


@functools.cache
def router_image() -> str:
    """The image that the Dockerfile makes of this checkout."""
    base = base_image()
    pure = os.environ.get("EDGEROUTER_PURE", "")
    tag = f"edgerouter-test/router:{digest(_router_files(), base, pure)}"
    if not exists(tag):
        settings = [f"BASE_IMAGE={base}", f"EDGEROUTER_PURE={pure}", *_pip_settings()]
        flags = [word for setting in settings for word in ("--build-arg", setting)]
        command = ["docker", "build", "--force-rm", "--network=host", *flags]
        run([*command, "--tag", tag, "."], deadline=BUILD, cwd=CHECKOUT, env={**os.environ, "DOCKER_BUILDKIT": "0"})
    return tag
