"""Renew the page's libraries from the npm registry: ``python dashboard/renew_vendor.py [--latest]``. Run by hand.

Without ``--latest`` it fetches the versions that ``static/vendor/lock.json`` names and refuses bytes that differ from
it. The files are kept as they came, with their licences; the page has no build step. Never imported by the router.
"""

from __future__ import annotations

import base64
import hashlib
import json
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import Any, Final

VENDOR: Final = Path(__file__).parent / "static" / "vendor"
LOCK: Final = VENDOR / "lock.json"
PACKAGES: Final = {
    "preact": {"package/dist/preact.mjs": "preact.mjs", "package/LICENSE": "preact.LICENSE.txt"},
    "htm": {"package/dist/htm.module.js": "htm.mjs", "package/LICENSE": "htm.LICENSE.txt"},
}


def integrity(data: bytes) -> str:
    """As npm writes it: ``sha512-`` and base64."""
    return "sha512-" + base64.b64encode(hashlib.sha512(data).digest()).decode()


def renew(name: str, locked: dict[str, Any], latest: bool) -> dict[str, Any]:
    """Fetch one package, check it, write its files; returns its entry in the lock. Raises SystemExit."""
    version = "latest" if latest or not locked else str(locked["version"])
    with tempfile.TemporaryDirectory() as folder:
        command = ["npm", "pack", f"{name}@{version}", "--json", "--silent"]
        packed = json.loads(subprocess.run(command, cwd=folder, check=True, capture_output=True).stdout)[0]
        archive = Path(folder) / packed["filename"]
        found = integrity(archive.read_bytes())
        if version != "latest" and found != locked["integrity"]:
            raise SystemExit(f"{name} {version}: the registry's bytes are not those of lock.json")
        files = {}
        with tarfile.open(archive) as tar:
            for inside, target in PACKAGES[name].items():
                member = tar.extractfile(inside)
                if member is None:
                    raise SystemExit(f"{name} {packed['version']}: {inside} is not in the package any more")
                data = member.read()
                (VENDOR / target).write_bytes(data)
                files[target] = hashlib.sha256(data).hexdigest()
    return {"version": packed["version"], "integrity": found, "files": files}


def main() -> None:
    """Renew all packages and the lock."""
    VENDOR.mkdir(parents=True, exist_ok=True)
    lock = json.loads(LOCK.read_text()) if LOCK.exists() else {}
    latest = "--latest" in sys.argv[1:]
    lock = {name: renew(name, lock.get(name, {}), latest) for name in PACKAGES}
    LOCK.write_text(json.dumps(lock, indent=2) + "\n")
    for name, entry in lock.items():
        print(name, entry["version"])


if __name__ == "__main__":
    main()
