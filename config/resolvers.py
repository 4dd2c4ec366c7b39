"""``certificatesResolvers``: who issues certificates, and how it is proved that a name is ours. Shapes only.

Names and defaults are Traefik's; what has no counterpart there says so. What an authority has revoked is replaced where
it gives renewal information (RFC 9773); its OCSP answers are not asked for (docs/decisions/0017).
"""

from __future__ import annotations

from typing import Literal

import msgspec

from edgerouter.config.dynamic import Model
from edgerouter.config.types import Duration, Secret

LETS_ENCRYPT = "https://acme-v02.api.letsencrypt.org/directory"


class ExternalAccount(Model, frozen=True):
    """External account binding (RFC 8555 section 7.3.4): some authorities ask for it."""

    # the key's name, from the authority
    kid: str = ""
    # the key in base64url, from the authority
    hmac_encoded: Secret = Secret("")


class HttpChallenge(Model, frozen=True):
    """HTTP-01: the authority asks for a file on port 80 of the name."""

    # the entry point that port 80 leads to
    entry_point: str = ""
    # how long to wait before the authority is told to look
    delay: Duration = Duration(0)


class TlsChallenge(Model, frozen=True):
    """TLS-ALPN-01: the authority opens TLS on port 443 of the name."""

    # how long to wait before the authority is told to look
    delay: Duration = Duration(0)


class Propagation(Model, frozen=True):
    """How a record is awaited before the authority is told to look."""

    # do not look whether the record is there
    disable_checks: bool = False
    # how long to wait before looking
    delay_before_checks: Duration = Duration(0)
    # how long to wait for the record
    timeout: Duration = Duration(120)  # not in Traefik


class DnsChallenge(Model, frozen=True):
    """DNS-01: the authority asks for a TXT record; the only one for wildcards."""

    # who writes the record: exec, httpreq, rfc2136; with the extra edgerouter[dns] also cloudflare, digitalocean,
    # dnsimple, gandiv5, godaddy, hetzner, inwx, linode, netcup, ovh, pdns, porkbun, route53 (with boto3), vultr;
    # credentials come from lego's environment variables
    provider: str = ""
    # DNS servers that are asked whether the record is there, as host:port; empty: the system's
    resolvers: tuple[str, ...] = ()
    # how the record is awaited
    propagation: Propagation = Propagation()


class Preflight(Model, frozen=True):
    """What is looked at before an order is placed: the DNS, CAA, and whether the name's addresses lead to this router.
    Not in Traefik."""

    # look at all; off for names that only the authority can resolve, or where this router cannot reach its own public
    # address (a NAT without a way back)
    enabled: bool = True
    # DNS servers to ask, as host:port; empty: the system's
    resolvers: tuple[str, ...] = ()
    # the name by which CAA records mean this authority; empty: that of the well-known ones
    issuer: str = ""
    # where this authority comes for HTTP-01; other than 80 at authorities for tests only
    http_port: int = 80
    # where this authority comes for TLS-ALPN-01; other than 443 at authorities for tests only
    tls_port: int = 443


class OrderBudget(Model, frozen=True):
    """How many new orders are placed; renewals are not counted. Not in Traefik."""

    # new orders for one registered domain in the time of ``period``; 0: as many as there are
    per_domain: int = 45
    # the time over which they are counted
    period: Duration = Duration(7 * 86400)


class OnDemand(Model, frozen=True):
    """Certificates for names that no rule spells out, when the first client comes. It counts for routers of this
    resolver whose rule names no host (``HostRegexp``, ``PathPrefix``), or one with a star where there is no
    dnsChallenge. Not in Traefik; what users of Caddy know."""

    # who says whether a name may have a certificate: GET ask?domain=NAME, yes is 200 and nothing else; asked once for
    # each name, and again before a renewal
    ask: str = ""
    # how long a connection waits for its certificate before it gets the default one, 0.1 s at least
    wait: Duration = Duration(5)
    # this many new certificates in the time of ``interval``, by all routers that share the storage; more get the state
    # ON_DEMAND_BUDGET
    burst: int = 10
    # the time over which they are counted
    interval: Duration = Duration(60)


class Acme(Model, frozen=True):
    """An authority that speaks ACME (RFC 8555)."""

    # whom the authority writes to
    email: str = ""
    # the authority's directory
    ca_server: str = LETS_ENCRYPT
    # what keeps account and certificates: a file (mode 0600; Traefik's is taken over), or, for several routers with one
    # account,
    # redis://user:password@host:6379/0, rediss://, etcd://host:2379, etcds://, kubernetes://NAMESPACE (Secrets and
    # Leases there); not in Traefik. A password may be given as ${env:NAME} or ${file:/path}
    storage: str = "acme.json"
    # EC256, EC384, RSA2048, RSA4096
    key_type: Literal["EC256", "EC384", "RSA2048", "RSA4096"] = "EC256"
    # taken and not needed: if the authority does not say when, a certificate's own lifetime decides
    certificates_duration: int = 2160
    # name of the issuer whose chain is preferred
    preferred_chain: str = ""
    # the authority's certificate profile
    profile: str = ""
    # external account binding
    eab: ExternalAccount | None = None
    # files of CAs that the authority's own certificate is checked with
    ca_certificates: tuple[str, ...] = ()
    # HTTP-01
    http_challenge: HttpChallenge | None = None
    # TLS-ALPN-01
    tls_challenge: TlsChallenge | None = None
    # DNS-01
    dns_challenge: DnsChallenge | None = None
    # what is looked at before an order
    preflight: Preflight = Preflight()
    # a URL that is told of every certificate that cannot be had (POST, JSON). Not in Traefik.
    webhook: str = ""
    # how many new orders for one registered domain are placed; the authority's own limits are harder. Not in Traefik.
    budget: OrderBudget = OrderBudget()
    # certificates for names that no rule spells out. Not in Traefik.
    on_demand: OnDemand | None = None
    # ask the authority when certificates are to be renewed (RFC 9773): so a revoked one is replaced. Not in Traefik.
    renewal_info: bool = True
    # orders that are open at once
    concurrency: int = msgspec.field(default=4)


class Local(Model, frozen=True):
    """An authority that is built in: for ``*.localhost``, private names and addresses. ``edgerouter trust`` has this
    system trust it. Not in Traefik."""

    # what keeps the root and its key; as for acme
    storage: str = "local-ca.json"
    # how long certificates live; they are renewed after two thirds of it
    life: Duration = Duration(7 * 86400)


class CertificateResolver(Model, frozen=True):
    """One way to get certificates; routers name it in ``tls.certResolver``."""

    # an ACME authority
    acme: Acme = Acme()
    # an authority that is built in; acme is not looked at then
    local: Local | None = None
