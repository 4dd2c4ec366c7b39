"""The answers to ``edgerouter explain`` and ``edgerouter ledger`` as text for a terminal. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

from edgerouter.control.explain import Explained, Tried

_WORDS: Final = {True: "true ", False: "false"}


def explained(answer: Explained) -> str:
    """What became of the request, why, and all that was tried."""
    return "\n".join(_explained(answer)) + "\n"


def _explained(answer: Explained) -> Iterator[str]:
    yield f"{answer.method} {answer.url}  on entry point {answer.entry_point}"
    if answer.note:
        yield f"  note: {answer.note}"
    yield f"  {_outcome(answer)}"
    if answer.findings:
        yield ""
        for finding in answer.findings:
            yield f"  {finding.code}: {finding.message}"
            if finding.fix:
                yield f"      fix: {finding.fix}"
    yield from _section("Routers", [line for tried in answer.tried for line in _router(tried)])
    if answer.others:
        yield f"  and {answer.others} more whose rule does not hold"
    steps = [
        f"{step.name} ({step.kind or 'missing'}, {step.status}), from {step.origin}" for step in answer.middlewares
    ]
    yield from _section("Middlewares, outermost first", steps)
    yield from _section("Services", [line for service in answer.services for line in _service(service)])


def _outcome(answer: Explained) -> str:
    if answer.status == 404:
        return "-> 404 NO_ROUTE: no router matches"
    if answer.status:
        return f"-> {answer.status} {answer.verdict}" + (f" at router {answer.router}" if answer.router else "")
    return f"-> router {answer.router}"


def _section(title: str, lines: Sequence[str]) -> Iterator[str]:
    if lines:
        yield ""
        yield f"{title}:"
        for line in lines:
            yield f"  {line}"


def _router(tried: Tried) -> Iterator[str]:
    yield f"{tried.outcome:<8} {tried.router}  priority {tried.priority}  {tried.rule}"
    if tried.outcome != "won":
        yield f"         {tried.reason}"
    for clause in tried.clauses:
        yield f"         {_WORDS[clause.holds]} {clause.text}"


def _service(service: Any) -> Iterator[str]:
    yield f"{service.name} ({service.kind}, {service.status})"
    for url, weight, up in service.servers:
        yield f"    {url}  weight {weight}  {'up' if up else 'down'}"


def ledger(lines: Sequence[dict[str, Any]], everything: bool) -> str:
    """One line a workload, those first that take no requests; with ``everything`` those that left, too."""
    shown = [line for line in lines if everything or not line["left"]]
    shown.sort(key=lambda line: (bool(line["left"]), line["verdict"] == "ROUTED", line["provider"], line["name"]))
    if not shown:
        return "no provider has seen anything yet\n"
    texts: list[str] = []
    for line in shown:
        word = "LEFT" if line["left"] else line["verdict"]
        texts.append(
            f"{word:<18} {line['kind']} {line['name']}@{line['provider']}  {' '.join(line['servers'])}".rstrip()
        )
        if line["reason"]:
            texts.append(f"    {line['reason']}")
        if line["fix"]:
            texts.append(f"    fix: {line['fix']}")
    return "\n".join(texts) + "\n"
