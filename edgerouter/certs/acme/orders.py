"""Orders as an authority keeps them (RFC 8555 section 7.4): placed, and found again by their URL. Blocking."""

from __future__ import annotations

from typing import Any

import requests
from acme import client, messages
from josepy.json_util import field


class ReplacingOrder(messages.NewOrder):
    """An order that says which certificate it replaces (RFC 9773 section 5): authorities do not count those."""

    replaces: str | None = field("replaces", omitempty=True)


def place(
    connected: client.ClientV2, names: tuple[str, ...], request: bytes, profile: str, replaces: str
) -> messages.OrderResource:
    """A new order; ``request`` is its CSR as PEM, ``replaces`` the renewal identifier of a certificate or ""."""
    identifiers = [messages.Identifier(typ=messages.IDENTIFIER_FQDN, value=name) for name in names]
    order = ReplacingOrder(identifiers=identifiers, profile=profile or None, replaces=replaces or None)
    response = _post(connected, connected.directory["newOrder"], order)
    return _resource(connected, response, response.headers["Location"], request)


def find(connected: client.ClientV2, url: str, request: bytes) -> messages.OrderResource:
    """The order of before, as it is now."""
    return _resource(connected, _post(connected, url, None), url, request)


def state_of(connected: client.ClientV2, order: messages.OrderResource) -> messages.Order:
    """The order's body as it is now."""
    found: messages.Order = messages.Order.from_json(_post(connected, order.uri, None).json())
    return found


def chains_of(connected: client.ClientV2, url: str, alternatives: bool) -> list[str]:
    """The certificate with its chain, and with ``alternatives`` its other chains (RFC 8555 section 7.4.2)."""
    response = _post(connected, url, None)
    chains = [str(response.text)]
    if alternatives:
        links = requests.utils.parse_header_links(response.headers.get("Link", ""))
        others = [link["url"] for link in links if link.get("rel") == "alternate"]
        chains += [str(_post(connected, other, None).text) for other in others]
    return chains


def _resource(connected: client.ClientV2, response: Any, url: str, request: bytes) -> messages.OrderResource:
    body = messages.Order.from_json(response.json())
    authorizations = []
    if body.status == messages.STATUS_PENDING:
        for place_of in body.authorizations:
            found = messages.Authorization.from_json(_post(connected, place_of, None).json())
            authorizations.append(messages.AuthorizationResource(body=found, uri=place_of))
    return messages.OrderResource(body=body, uri=url, authorizations=authorizations, csr_pem=request)


def _post(connected: client.ClientV2, url: str, body: Any) -> Any:
    return connected.net.post(url, body, new_nonce_url=connected.directory["newNonce"])
