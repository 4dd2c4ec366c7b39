"""The security part of ``headers``: allowed hosts, and fields that tell browsers to be careful."""

from __future__ import annotations

from edgerouter.http.headers import Field, Headers
from edgerouter.http.message import Request
from edgerouter.middlewares._headers_options import Options


class Secure:
    """``wanted``: some security option is set."""

    def __init__(self, options: Options) -> None:
        self._hosts = frozenset() if options.is_development else frozenset(h.lower() for h in options.allowed_hosts)
        self._host_fields = options.hosts_proxy_headers
        self._tls_fields = options.ssl_proxy_headers
        self._force_sts = options.force_sts_header
        self._plain = [Field(name, one_line(name, value)) for name, value in _plain_fields(options) if value]
        self._sts = "" if options.is_development else _sts(options)
        self._pins = "" if options.is_development else one_line("publicKey", options.public_key)
        self.wanted = bool(self._hosts or self._plain or self._sts or self._pins)

    def refuses(self, request: Request) -> bool:
        """True for a host that is not served."""
        if not self._hosts:
            return False
        host = request.authority
        for name in self._host_fields:
            host = request.headers.get(name) or host
            if host is not request.authority:
                break
        return host.lower() not in self._hosts

    def is_tls(self, request: Request) -> bool:
        """True when the client's connection was TLS, as far as is known."""
        if request.scheme == "https":
            return True
        return any(request.headers.get(name) == value for name, value in self._tls_fields.items())

    def mark(self, tls: bool, headers: Headers) -> None:
        """Put the security fields into a response's headers, over the server's."""
        for field in self._plain:
            headers.put(field)
        if self._sts and (tls or self._force_sts):
            headers.set("Strict-Transport-Security", self._sts)
        if self._pins and tls:
            headers.set("Public-Key-Pins", self._pins)


def one_line(name: str, value: str) -> str:
    """A policy is often written over several lines, and is one in a field. Raises ValueError for what is none."""
    folded = " ".join(filter(None, (line.strip() for line in value.splitlines())))
    if any(character < " " and character != "\t" for character in folded):
        raise ValueError(f"headers: {name}: {value!r} holds a control character; leave it out")
    return folded


def _plain_fields(options: Options) -> list[tuple[str, str]]:
    frame = options.custom_frame_options_value or ("DENY" if options.frame_deny else "")
    xss = options.custom_browser_xss_value or ("1; mode=block" if options.browser_xss_filter else "")
    return [
        ("X-Frame-Options", frame),
        ("X-Content-Type-Options", "nosniff" if options.content_type_nosniff else ""),
        ("X-XSS-Protection", xss),
        ("Content-Security-Policy", options.content_security_policy),
        ("Content-Security-Policy-Report-Only", options.content_security_policy_report_only),
        ("Referrer-Policy", options.referrer_policy),
        ("Permissions-Policy", options.permissions_policy),
    ]


def _sts(options: Options) -> str:
    if options.sts_seconds <= 0:
        return ""
    subdomains = "; includeSubDomains" if options.sts_include_subdomains else ""
    return f"max-age={options.sts_seconds}{subdomains}{'; preload' if options.sts_preload else ''}"
