"""The commands that ask a running router: ``edgerouter explain``, ``ledger`` and ``certificates``. Their
arguments and nothing else; nothing may import this file but ``cli``."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Sequence
from typing import Final

import msgspec

from edgerouter.control.ask import Unanswered, ask
from edgerouter.control.certificate_lines import CertificateLine, certificates_text
from edgerouter.control.explain import Explained
from edgerouter.control.explain_text import explained, ledger

_EXPLAIN: Final = """\
Usage: edgerouter explain URL [flags]
       edgerouter explain ID [--api=...] [--json]

Says which router takes a request and why, which ones came near, what it passes, and what discovery left out that would
have taken it. ID is what the router's 404 page shows to clients of this machine and private networks (option
explain.trustedIPs): 404- and ten letters. The request is then asked about as it was sent.

    -H, --header='Name: value'   a header of the request, as often as needed
    --method=GET                 its method
    --entrypoint=NAME            where it comes in; by the URL's port when not given
    --client=127.0.0.1           its client's address
    --api=http://host:8080       ask that router's API, not the router on this machine
    --json                       print the answer as the API gives it
"""
_LEDGER: Final = """\
Usage: edgerouter ledger [flags]

Lists every workload that was seen, what became of it, why, and what to write.

    --all                        those too that are gone
    --api=http://host:8080       ask that router's API, not the router on this machine
    --json                       print the answer as the API gives it
"""
_CERTIFICATES: Final = """\
Usage: edgerouter certificates [flags]
       edgerouter certificates retry NAME

Lists every name that TLS is served or wanted for: its state, its source, when it expires, what is tried next and what
went wrong last. retry: try what failed for a name now, not when its time comes.

    --api=http://host:8080       ask that router's API, not the router on this machine
    --json                       print the answer as the API gives it
"""
_ID: Final = re.compile(r"404-[0-9a-f]{10}")
_NAMES: Final = {"-H": "header", "--header": "header", "-X": "method"}


class _Arguments:
    """``values``: flag -> its values; ``words`` are all others. Raises ValueError that says what is wrong."""

    def __init__(self, arguments: Sequence[str], valued: Sequence[str], plain: Sequence[str]) -> None:
        self.values: dict[str, list[str]] = {}
        self.words: list[str] = []
        rest = list(arguments)
        while rest:
            word = rest.pop(0)
            if not word.startswith("-") or word == "-":
                self.words.append(word)
                continue
            flag, equals, value = word.partition("=")
            name = _NAMES.get(flag, flag.lstrip("-"))
            if name in plain and not equals:
                self.values[name] = ["true"]
            elif name not in valued:
                raise ValueError(f"there is no flag {flag}")
            elif equals or rest:
                self.values.setdefault(name, []).append(value if equals else rest.pop(0))
            else:
                raise ValueError(f"{flag} wants a value")

    def last(self, name: str, default: str = "") -> str:
        """The last value of a flag."""
        return self.values.get(name, [default])[-1]


def explain(arguments: Sequence[str]) -> int:
    """Exit code 0: a server answers such a request. 1: the router does. 2: wrong arguments, or nobody to ask."""
    try:
        given = _Arguments(arguments, ("header", "method", "entrypoint", "client", "api"), ("json",))
        if len(given.words) != 1:
            raise ValueError("name one URL, or the id of a 404 page")
    except ValueError as error:
        return _refuse(f"explain: {error}", _EXPLAIN)
    query = [("id" if _ID.fullmatch(given.words[0]) else "url", given.words[0])]
    query += [(name, given.last(name)) for name in ("method", "entrypoint", "client") if name in given.values]
    query += [("header", header) for header in given.values.get("header", ())]
    try:
        body = ask("/explain", query, given.last("api"))
    except Unanswered as error:
        return _refuse(f"explain: {error}")
    answer = msgspec.json.decode(body, type=Explained)
    print(body.decode() if "json" in given.values else explained(answer), end="")
    return 1 if answer.status else 0


def show_ledger(arguments: Sequence[str]) -> int:
    """Exit code 0: all that is there takes requests or is not meant to. 2: wrong arguments, or nobody to ask."""
    try:
        given = _Arguments(arguments, ("api",), ("json", "all"))
        if given.words:
            raise ValueError(f"what is {given.words[0]!r}?")
    except ValueError as error:
        return _refuse(f"ledger: {error}", _LEDGER)
    try:
        body = ask("/workloads", (), given.last("api"))
    except Unanswered as error:
        return _refuse(f"ledger: {error}")
    print(body.decode() if "json" in given.values else ledger(msgspec.json.decode(body), "all" in given.values), end="")
    return 0


def certificates(arguments: Sequence[str]) -> int:
    """Exit code 0: no name wants anybody. 1: some do, or there was nothing to retry. 2: wrong arguments, or nobody to
    ask."""
    try:
        given = _Arguments(arguments, ("api",), ("json",))
        if given.words and (given.words[0] != "retry" or len(given.words) != 2 or given.values):
            raise ValueError(f"what is {' '.join(arguments)!r}?")
    except ValueError as error:
        return _refuse(f"certificates: {error}", _CERTIFICATES)
    if given.words:
        return _retry(given.words[1])
    try:
        body = ask("/names", (), given.last("api"))
    except Unanswered as error:
        return _refuse(f"certificates: {error}")
    lines = msgspec.json.decode(body, type=list[CertificateLine])
    print(body.decode() if "json" in given.values else certificates_text(lines, time.time()), end="")
    return 1 if any(line.error and line.state in ("FAILED", "BROKEN", "EXPIRED") for line in lines) else 0


def _retry(name: str) -> int:
    try:
        ask("/certificates/retry", [("name", name)], method="POST")
    except Unanswered as error:
        if "404" not in str(error):
            return _refuse(f"certificates: {error}")
        print(f"edgerouter certificates: nothing for {name} failed; see edgerouter certificates", file=sys.stderr)
        return 1
    print(f"OK: {name} is tried now; edgerouter certificates shows what comes of it")
    return 0


def _refuse(message: str, usage: str = "") -> int:
    print(f"edgerouter {message}", file=sys.stderr)
    if usage:
        print(usage, file=sys.stderr, end="")
    return 2
