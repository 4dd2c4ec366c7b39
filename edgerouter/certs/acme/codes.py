"""Every code by which a certificate that cannot be had is named, with what to do about it: no code without a fix. The
enumeration behind docs/reference/certificates.md."""

from __future__ import annotations

from typing import Final

FIXES: Final = {
    # before the authority is asked
    "NXDOMAIN": "add an A or AAAA record, or correct the router's rule",
    "NO_ADDRESS": "add an A or AAAA record",
    "NOT_US": "let every A and AAAA record lead to the challenge's entry point (port 80, for tlsChallenge 443), or "
    "set preflight.enabled=false where the router cannot reach its own public address",
    "DNS": "see why the name's servers do not answer (preflight.resolvers are asked, or the system's)",
    "CAA": "add this authority to the CAA record",
    "BAD_NAME": "correct the name in the router's rule or tls.domains: authorities certify names with a dot, of "
    "letters, digits and hyphens, and with one star at most, as the first label",
    "BUDGET": "wait, or raise budget.perDomain if the authority allows more",
    "STORAGE": "make the resolver's storage readable and writable; no order is placed before",
    "NOT_LIVE": "see in the log why a worker does not take configurations; it is tried again",
    "NO_CHALLENGE": "add httpChallenge, tlsChallenge or dnsChallenge (wildcards need dnsChallenge)",
    "DNS_PROVIDER": "correct dnsChallenge.provider's variables, or its rights at the provider",
    "DNS_PROPAGATION": "raise dnsChallenge.propagation.timeout, or name the zone's own servers in "
    "dnsChallenge.resolvers",
    "FAULT": "report it, with the lines of the log around it; the other names go on",
    # the authority's answer
    "UNREACHABLE": "check caServer, and that the router may reach it",
    "TIMEOUT": "nothing: the order is gone on with at the next attempt",
    "AUTHORITY_FAULT": "nothing: the authority has a fault of its own, and is asked again",
    "CHALLENGE_FAILED": "see what the authority found there, in its own words: it must reach the challenge's entry "
    "point on port 80 (tlsChallenge: 443), or see the record (dnsChallenge)",
    "RATE_LIMITED": "wait: the next attempt is set to when the authority allows it",
    "BAD_NONCE": "nothing: the order is gone on with at the next attempt; if it stays, see whether a proxy between "
    "router and authority keeps answers",
    "EAB_REQUIRED": "add eab.kid and eab.hmacEncoded",
    "REJECTED": "read the authority's words: it does not certify this name; correct it, or take another caServer",
    "UNAUTHORIZED": "read the authority's words: the account may not have this name; eab may be wrong",
    "MALFORMED": "read the authority's words: a name or an option (profile, keyType, email, eab) is not to its liking",
    "ACCOUNT_GONE": "nothing: the account is registered again with its key",
    "ALREADY_REPLACED": "nothing: the next order is placed without naming the one before",
    "REFUSED": "read the authority's words",
    # on demand
    "ON_DEMAND_BUDGET": "wait for the next client after that, or raise onDemand.burst",
    "ASK_DENIED": "nothing, if this name is not yours; else let onDemand.ask answer 200 for it",
    "ASK_UNREACHABLE": "let onDemand.ask answer 200 or 4xx within 5 s",
    "NO_ROUTER": "nothing, if this name is not yours; else add a router whose rule takes it",
}
