"""``edgerouter trust``: the root of the built-in authority in the system's store, and how to have it elsewhere."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Final

# Folder of additional roots, and the command that takes them up: Debian, Alpine; Fedora and RHEL; Arch; SUSE.
STORES: Final = (
    ("/usr/local/share/ca-certificates", ("update-ca-certificates", "--fresh")),
    ("/etc/pki/ca-trust/source/anchors", ("update-ca-trust", "extract")),
    ("/etc/ca-certificates/trust-source/anchors", ("trust", "extract-compat")),
    ("/etc/pki/trust/anchors", ("update-ca-certificates",)),
)
OTHERS: Final = """\
Elsewhere, with the certificate in root.crt (edgerouter trust --print >root.crt):
  Chrome on Linux, Firefox   certutil -d sql:$HOME/.pki/nssdb -A -t C,, -n EdgeRouter -i root.crt
                             (Firefox: with its profile's folder in the place of .pki/nssdb)
  macOS                      sudo security add-trusted-cert -d -k /Library/Keychains/System.keychain root.crt
  Windows                    certutil -addstore -f ROOT root.crt
  Java                       keytool -importcert -cacerts -alias edgerouter -file root.crt
  Python, Node, curl         SSL_CERT_FILE, REQUESTS_CA_BUNDLE, NODE_EXTRA_CA_CERTS, CURL_CA_BUNDLE
  a router in a container    docker exec CONTAINER edgerouter trust --print >root.crt
"""


class Untrusted(Exception):
    """The system's store did not take the root; says why and what to do."""


def install(name: str, pem: str, stores: Sequence[tuple[str, Sequence[str]]] = STORES) -> str:
    """Put a root into the system's store; where it is now. Raises Untrusted."""
    folder, command = _store(stores)
    file = Path(folder) / f"edgerouter-{name}.crt"
    try:
        file.write_text(pem)
    except OSError as error:
        raise Untrusted(f"{file} cannot be written: {error.strerror}; run it as root, or see below") from error
    _run(command)
    return str(file)


def remove(name: str, stores: Sequence[tuple[str, Sequence[str]]] = STORES) -> str:
    """Take it out again; where it was. Raises Untrusted."""
    folder, command = _store(stores)
    file = Path(folder) / f"edgerouter-{name}.crt"
    try:
        file.unlink(missing_ok=True)
    except OSError as error:
        raise Untrusted(f"{file} cannot be removed: {error.strerror}; run it as root") from error
    _run(command)
    return str(file)


def _store(stores: Sequence[tuple[str, Sequence[str]]]) -> tuple[str, Sequence[str]]:
    for folder, command in stores:
        if Path(folder).is_dir() and shutil.which(command[0]):
            return folder, command
    raise Untrusted("this system has no store of roots that is known here (on Debian: apt-get install ca-certificates)")


def _run(command: Sequence[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        last = (done.stderr.strip() or done.stdout.strip()).splitlines()[-1:] or ["it says nothing"]
        raise Untrusted(f"{' '.join(command)} ended with code {done.returncode}: {last[0][:200]}")
