"""Cookies of requests (RFC 6265 section 4.2): reading one, and taking one out. Nothing is known of what they mean."""

from __future__ import annotations

from edgerouter.http.headers import Headers


def cookie_values(headers: Headers, name: str) -> list[str]:
    """Every value that the client sends under this name, in order."""
    pairs = [pair.strip().partition("=") for line in headers.get_all("Cookie") for pair in line.split(";")]
    return [value.strip().strip('"') for key, sign, value in pairs if sign and key.strip() == name]


def without_cookie(headers: Headers, *names: str) -> None:
    """Take cookies out of the request; what is left stays as it stood."""
    lines = headers.get_all("Cookie")
    kept = [
        "; ".join(p.strip() for p in line.split(";") if p.strip() and p.partition("=")[0].strip() not in names)
        for line in lines
    ]
    if kept != lines:
        headers.remove("Cookie")
        for line in filter(None, kept):
            headers.add("Cookie", line)
