"""Records written by dns-lexicon (the extra ``edgerouter[dns]``) at the common providers, by lego's variables.

Each variable may be given as ``NAME_FILE`` too, which names a file that holds it. Blocking; writers share nothing.
"""

from __future__ import annotations

import importlib.util
import logging
from collections.abc import Mapping
from typing import Any, Final

from edgerouter.certs.acme.dns01.record import variable
from edgerouter.certs.acme.refused import Refused

Option = tuple[str, tuple[str, ...]]
# lego's provider -> dns-lexicon's, and its options with the variables that give them, the first that is set counts.
# An option that ends in "?" can be left out.
PROVIDERS: Final[dict[str, tuple[str, tuple[Option, ...]]]] = {
    "cloudflare": (
        "cloudflare",
        (
            ("auth_token", ("CF_DNS_API_TOKEN", "CLOUDFLARE_DNS_API_TOKEN", "CF_API_KEY", "CLOUDFLARE_API_KEY")),
            ("auth_username?", ("CF_API_EMAIL", "CLOUDFLARE_EMAIL")),
        ),
    ),
    "digitalocean": ("digitalocean", (("auth_token", ("DO_AUTH_TOKEN",)),)),
    "dnsimple": ("dnsimple", (("auth_token", ("DNSIMPLE_OAUTH_TOKEN",)),)),
    "gandiv5": ("gandi", (("auth_token", ("GANDIV5_PERSONAL_ACCESS_TOKEN", "GANDIV5_API_KEY")),)),
    "godaddy": ("godaddy", (("auth_key", ("GODADDY_API_KEY",)), ("auth_secret", ("GODADDY_API_SECRET",)))),
    "hetzner": ("hetzner", (("auth_token", ("HETZNER_API_TOKEN", "HETZNER_API_KEY")),)),
    "inwx": ("inwx", (("auth_username", ("INWX_USERNAME",)), ("auth_password", ("INWX_PASSWORD",)))),
    "linode": ("linode", (("auth_token", ("LINODE_TOKEN",)),)),
    "netcup": (
        "netcup",
        (
            ("auth_customer_id", ("NETCUP_CUSTOMER_NUMBER",)),
            ("auth_api_key", ("NETCUP_API_KEY",)),
            ("auth_api_password", ("NETCUP_API_PASSWORD",)),
        ),
    ),
    "ovh": (
        "ovh",
        (
            ("auth_entrypoint", ("OVH_ENDPOINT",)),
            ("auth_application_key", ("OVH_APPLICATION_KEY",)),
            ("auth_application_secret", ("OVH_APPLICATION_SECRET",)),
            ("auth_consumer_key", ("OVH_CONSUMER_KEY",)),
        ),
    ),
    "pdns": (
        "powerdns",
        (
            ("pdns_server", ("PDNS_API_URL",)),
            ("auth_token", ("PDNS_API_KEY",)),
            ("pdns_server_id?", ("PDNS_SERVER_NAME",)),
        ),
    ),
    "porkbun": ("porkbun", (("auth_key", ("PORKBUN_API_KEY",)), ("auth_secret", ("PORKBUN_SECRET_API_KEY",)))),
    "route53": (
        "route53",
        (
            ("auth_access_key?", ("AWS_ACCESS_KEY_ID",)),
            ("auth_access_secret?", ("AWS_SECRET_ACCESS_KEY",)),
            ("zone_id?", ("AWS_HOSTED_ZONE_ID",)),
        ),
    ),
    "vultr": ("vultr", (("auth_token", ("VULTR_API_KEY",)),)),
}
# What dns-lexicon wants to be told and lego does not ask for. Gandi's first protocol is switched off.
_ALWAYS: Final[dict[str, dict[str, str]]] = {"gandi": {"api_protocol": "rest"}}
# An address goes with one of these keys, never with a token: Cloudflare refuses such a pair. Where all are given the
# key counts, as at lego.
_CLOUDFLARE_KEYS: Final = ("CF_API_KEY", "CLOUDFLARE_API_KEY")
ALIASES: Final = {"gandi": "gandiv5", "powerdns": "pdns"}


class Lexicon:
    """See ``record.Writer``. Raises Refused for a variable that is not set, and without the library."""

    def __init__(self, provider: str, environment: Mapping[str, str]) -> None:
        self._provider, options = PROVIDERS[provider]
        try:
            import lexicon.client
            import lexicon.config
        except ImportError as error:
            words = f"dnsChallenge.provider {provider} wants the extra: pip install 'edgerouter[dns]'"
            raise Refused("DNS_PROVIDER", words) from error
        logging.getLogger("lexicon").setLevel(logging.WARNING)  # what it sends is nobody's business
        self._client: Any = lexicon.client.Client
        self._config: Any = lexicon.config.ConfigResolver
        if self._provider == "route53" and importlib.util.find_spec("boto3") is None:
            raise Refused("DNS_PROVIDER", "dnsChallenge.provider route53 wants boto3 too: pip install boto3")
        self._given = _given(provider, options, environment)
        self._options = _ALWAYS.get(self._provider, {}) | self._given

    def present(self, name: str, record: str, value: str) -> None:
        """See ``Writer.present``."""
        self._do(name, lambda operations: operations.create_record("TXT", record, value))

    def cleanup(self, name: str, record: str, value: str) -> None:
        """See ``Writer.cleanup``."""
        self._do(name, lambda operations: operations.delete_record(None, "TXT", record, value))

    def _do(self, name: str, act: Any) -> None:
        settings = {"provider_name": self._provider, "domain": name, "resolve_zone_name": True}
        try:
            with self._client(self._config().with_dict({**settings, self._provider: self._options})) as operations:
                done = act(operations)
        except Exception as error:  # each provider of the library raises its own
            raise Refused("DNS_PROVIDER", f"{self._provider}: {self._masked(error)}") from None
        if not done:
            raise Refused("DNS_PROVIDER", f"{self._provider} did not change the record, and does not say why")

    def _masked(self, error: BaseException) -> str:
        """Some put their address, with the key in it, into what they raise."""
        text = " ".join(str(error).split()) or type(error).__name__
        for value in self._given.values():
            text = text.replace(value, "***")
        return text[:300]


def _given(provider: str, options: tuple[Option, ...], environment: Mapping[str, str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for option, names in options:
        value = _first(environment, names)
        if value:
            found[option.rstrip("?")] = value
        elif not option.endswith("?"):
            words = f"dnsChallenge.provider is {provider}, and {' or '.join(names)} is not set"
            raise Refused("DNS_PROVIDER", words)
    if provider == "cloudflare" and "auth_username" in found:
        key = _first(environment, _CLOUDFLARE_KEYS)
        if not key:
            del found["auth_username"]
        else:
            found["auth_token"] = key
    return found


def _first(environment: Mapping[str, str], names: tuple[str, ...]) -> str:
    return next((found for name in names if (found := variable(environment, name))), "")
