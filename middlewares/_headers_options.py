"""The options of ``headers``: shapes only; what they do is in ``headers``, ``_headers_cors``, ``_headers_secure``."""

from __future__ import annotations

import msgspec

from edgerouter.config.dynamic import Model

_REMOVED = {
    "sslRedirect": "ssl_redirect",
    "sslTemporaryRedirect": "ssl_temporary_redirect",
    "sslHost": "ssl_host",
    "sslForceHost": "ssl_force_host",
    "featurePolicy": "feature_policy",
}


class Options(Model, frozen=True):
    """Options of ``headers``."""

    # fields set in the request; an empty value deletes the field
    custom_request_headers: dict[str, str] = {}
    # fields set in the response; an empty value deletes the field
    custom_response_headers: dict[str, str] = {}

    # CORS: allow credentials
    access_control_allow_credentials: bool = False
    # CORS: fields that a request may have
    access_control_allow_headers: tuple[str, ...] = ()
    # CORS: methods that a request may have
    access_control_allow_methods: tuple[str, ...] = ()
    # CORS: origins that may ask; * for all
    access_control_allow_origin_list: tuple[str, ...] = ()
    # CORS: patterns (RE2) of origins that may ask
    access_control_allow_origin_list_regex: tuple[str, ...] = ()
    # CORS: fields of the response that scripts may read
    access_control_expose_headers: tuple[str, ...] = ()
    # CORS: seconds for which the answer to a preflight request holds
    access_control_max_age: int = 0
    # CORS: add Vary: Origin
    add_vary_header: bool = False

    # hosts that are served, with port; all others are answered 500
    allowed_hosts: tuple[str, ...] = ()
    # request fields that may hold the host instead of Host
    hosts_proxy_headers: tuple[str, ...] = ()
    # request fields and values that say that the client's connection was TLS
    ssl_proxy_headers: dict[str, str] = {}
    # max-age of Strict-Transport-Security in seconds; 0: the field is not sent
    sts_seconds: int = 0
    # add includeSubDomains to Strict-Transport-Security
    sts_include_subdomains: bool = False
    # add preload to Strict-Transport-Security
    sts_preload: bool = False
    # send Strict-Transport-Security without TLS as well
    force_sts_header: bool = msgspec.field(default=False, name="forceSTSHeader")
    # send X-Frame-Options: DENY
    frame_deny: bool = False
    # value of X-Frame-Options
    custom_frame_options_value: str = ""
    # send X-Content-Type-Options: nosniff
    content_type_nosniff: bool = False
    # send X-XSS-Protection: 1; mode=block
    browser_xss_filter: bool = False
    # value of X-XSS-Protection
    custom_browser_xss_value: str = msgspec.field(default="", name="customBrowserXSSValue")
    # value of Content-Security-Policy
    content_security_policy: str = ""
    # value of Content-Security-Policy-Report-Only
    content_security_policy_report_only: str = ""
    # value of Public-Key-Pins, sent over TLS
    public_key: str = ""
    # value of Referrer-Policy
    referrer_policy: str = ""
    # value of Permissions-Policy
    permissions_policy: str = ""
    # switch allowedHosts, Strict-Transport-Security and Public-Key-Pins off
    is_development: bool = False

    # without effect: use redirectScheme
    ssl_redirect: bool = False
    # without effect: use redirectScheme
    ssl_temporary_redirect: bool = False
    # without effect: use redirectRegex
    ssl_host: str = ""
    # without effect: use redirectRegex
    ssl_force_host: bool = False
    # without effect: use permissionsPolicy
    feature_policy: str = ""

    def not_there_yet(self) -> tuple[str, ...]:
        """Return the options that are set and have no effect; build warns of each."""
        return tuple(name for name, attribute in _REMOVED.items() if getattr(self, attribute))
