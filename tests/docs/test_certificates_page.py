"""The page of certificates names every state and every code there is, and every code has a fix."""

from __future__ import annotations

import re
from pathlib import Path

from edgerouter.certs.acme import codes, refused, state
from edgerouter.control import certificate_lines

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/reference/certificates.md").read_text()
ELSEWHERE = {"SERVED", "EXPIRED", "BROKEN"}  # states of certificates that no resolver has


def test_every_code_that_is_given_has_a_fix_and_no_fix_is_left_over() -> None:
    room = ROOT / "edgerouter/certs/acme"
    texts = [file.read_text() for file in room.rglob("*.py") if file.name != "codes.py"]
    given = {
        code
        for text in texts
        for code in re.findall(r'(?:Refused|Verdict|_refuse|failed)\([^()]*?"([A-Z_]{2,})"', text)
    }
    assert given | set(refused._CODES.values()) | {"REFUSED"} == set(codes.FIXES) | {"BUSY"}


def test_the_page_has_every_code_with_its_fix() -> None:
    rows = dict(re.findall(r"^\| `([A-Z_]+)` \| (.+) \|$", PAGE.partition("## Codes")[2], re.MULTILINE))
    assert rows == {code: f"{fix[0].upper()}{fix[1:]}." for code, fix in codes.FIXES.items()}


def test_the_page_has_every_state() -> None:
    rows = set(re.findall(r"^\| `([A-Z_]+)` \|", PAGE.partition("## Codes")[0], re.MULTILINE))
    assert rows == set(certificate_lines._ORDER) - ELSEWHERE
    assert rows <= {value for name, value in vars(state).items() if name.isupper()}
