"""The enumeration of causes: what each word in access log, metrics and error bodies means, whose fault, what to do.

Shapes and the table only; ``errors`` and the codecs raise them. A plugin that brings a cause of its own declares it in
its own file: ``_CAUSE = declare("MAINTENANCE", 503, CONFIGURATION, "what it means", "what to do")``.
"""

from __future__ import annotations

from typing import Final, NamedTuple

CLIENT: Final = "client"
SERVER: Final = "server"
CONFIGURATION: Final = "configuration"
ROUTER: Final = "router"


class Cause(NamedTuple):
    """``status`` is what the client is told; 0 where it is not told anything, since there is no whole request or it is
    too late. ``whose`` is the fault's side, ``remedy`` a sentence for whoever is asked to mend it."""

    name: str
    status: int
    whose: str
    meaning: str
    remedy: str


_declared: dict[str, Cause] = {}


def declare(name: str, status: int, whose: str, meaning: str, remedy: str) -> str:
    """Add a cause and return its name; raises ValueError when another one has that name."""
    cause = Cause(name, status, whose, meaning, remedy)
    if _declared.setdefault(name, cause) != cause:
        raise ValueError(f"two causes are named {name!r}")
    return name


def declared() -> dict[str, Cause]:
    """All causes by name; those of plugins once their files are loaded."""
    return dict(_declared)


_SMUGGLING: Final = (
    "Mend the client. Two parsers that read such bytes differently are how requests are smuggled past access rules, so "
    "nothing of it is forwarded and the connection is closed; many of them from one address are an attack."
)
_FRAMING: Final = "Mend the server: with such framing one answer could be taken for the next client's."

_TABLE: Final = (
    # -- no answer was looked for ---------------------------------------------------------------------------------
    ("NO_ROUTE", 404, CONFIGURATION, "No router's rule takes this entry point, host and path.",
     "`edgerouter explain URL` shows, clause by clause, which router came near and why it did not match."),
    ("BAD_CONFIG", 500, CONFIGURATION,
     "The router matched, and it, its service or one of its middlewares is broken or missing. It is never served "
     "without the middleware, and never falls through to another router.",
     "Read the router's problem on the dashboard, in the log, or from `edgerouter check`."),
    ("ASLEEP", 503, CONFIGURATION, "The router is known; its containers are all stopped, starting or unhealthy.",
     "Start the container, or look at its health check; the dashboard names it."),
    ("NO_SERVER", 503, CONFIGURATION, "The service has no server, or none that is up.",
     "Look at the service on the dashboard: its health checks, its list of servers."),
    ("MIDDLEWARE_FAILED", 500, ROUTER, "A middleware raised an exception.",
     "CauseDetail in the access log names it; report it with that text."),
    ("INTERNAL", 500, ROUTER, "A fault of the router itself.", "Report it with CauseDetail from the access log."),
    ("SHUTTING_DOWN", 503, ROUTER, "The router was told to end, and graceTimeOut was over before the exchange.",
     "Raise graceTimeOut of the entry point where requests take long."),
    ("BREAKER_OPEN", 503, SERVER, "The router's circuit breaker is tripped: the service failed too often.",
     "Look at what the service answered before; the breaker closes by itself once it is well."),
    ("BAD_HOST", 500, CLIENT, "The middleware `headers` allows other hosts than this one (allowedHosts).",
     "Ask for an allowed host, or add this one to allowedHosts."),
    # -- the way to the server ------------------------------------------------------------------------------------
    ("CONNECT_REFUSED", 502, SERVER,
     "No connection to the server: refused, unreachable, or its name was not found. The request was not sent.",
     "See that the server runs and listens on the address that the access log's ServiceURL names, not on 127.0.0.1 "
     "of its own container."),
    ("CONNECT_TIMEOUT", 504, SERVER,
     "No connection within dialTimeout of the serversTransport, or `connect` of the middleware `timeouts`.",
     "A firewall drops packets, the network is not shared, or the machine is gone; try the address from this machine."),
    ("UPSTREAM_TLS", 500, CONFIGURATION, "TLS to the server failed for a reason without a word of its own.",
     "CauseDetail gives OpenSSL's reason."),
    ("UPSTREAM_CERT_UNTRUSTED", 500, CONFIGURATION,
     "The server's certificate comes from no authority that is believed, or is signed by itself.",
     "Add its authority to rootCAs of the serversTransport."),
    ("UPSTREAM_CERT_EXPIRED", 500, SERVER, "The server's certificate is not valid at this time.",
     "Renew it; where it is new, look at the clocks."),
    ("UPSTREAM_CERT_NAME", 500, CONFIGURATION,
     "The server's certificate does not bear the name that was asked for, or none of peerCertURI and peerCertSANs.",
     "Write the name that it bears into serverName of the serversTransport."),
    ("UPSTREAM_NOT_TLS", 500, CONFIGURATION, "The server does not speak TLS on this port.",
     "Write http:// into its url."),
    ("UPSTREAM_TLS_REFUSED", 500, CONFIGURATION, "The server refused the router in the handshake.",
     "It wants a client certificate (certificates of the serversTransport) or another TLS version; CauseDetail says."),
    ("UPSTREAM_RESET", 502, SERVER,
     "The server closed the connection before its response was complete. What had come of it was passed on, and the "
     "client's connection was broken, so that nobody takes it for whole.",
     "Look at the server's log: it crashed, was stopped without draining, or gave the request up."),
    ("RESPONSE_TIMEOUT", 504, SERVER,
     "No response head within responseHeaderTimeout of the serversTransport, or `firstByte` of `timeouts`.",
     "The server hangs or is slow; CauseDetail says which limit passed."),
    ("IDLE_TIMEOUT", 504, SERVER,
     "For as long as `idle` of the middleware `timeouts` allows no byte of a body came from either side.",
     "Raise `idle` for slow streams, or let them send something now and then."),
    ("TOTAL_TIMEOUT", 504, SERVER, "The exchange took longer than `total` of the middleware `timeouts` allows.",
     "Raise `total`, or look at why the server takes that long: Duration and OriginDuration in the access log."),
    ("UPSTREAM_ERROR", 502, SERVER, "The server's failure, without a cause of its own: raised by a plugin.",
     "CauseDetail says more."),
    # -- what the server answered ---------------------------------------------------------------------------------
    ("BAD_RESPONSE", 502, SERVER, "The answer is no HTTP response: raised by a plugin.", "CauseDetail says more."),
    ("BAD_RESPONSE_STATUS_LINE", 502, SERVER, "The answer does not begin with HTTP/1.1 or HTTP/1.0 and a status.",
     "It is no HTTP server at all, or one that expects TLS (scheme https) or HTTP/2."),
    ("BAD_RESPONSE_STATUS", 502, SERVER, "The status is not a number from 100 to 999.", "Mend the server."),
    ("BAD_RESPONSE_HEADER_NAME", 502, SERVER, "A header name holds what no name may.", "Mend the server."),
    ("BAD_RESPONSE_HEADER_VALUE", 502, SERVER, "A header value holds a control character.", "Mend the server."),
    ("BAD_RESPONSE_SPACE_BEFORE_COLON", 502, SERVER, "White space in or behind a header name.", _FRAMING),
    ("BAD_RESPONSE_FOLDED_LINE", 502, SERVER, "A header line is folded (obsolete).", "Mend the server."),
    ("BAD_RESPONSE_BARE_CR", 502, SERVER, "A CR without LF in the head.", _FRAMING),
    ("BAD_RESPONSE_BARE_LF", 502, SERVER, "A line ends in LF without CR.", _FRAMING),
    ("BAD_RESPONSE_LENGTH", 502, SERVER, "Content-Length is not a plain decimal number.", _FRAMING),
    ("BAD_RESPONSE_LENGTH_TWICE", 502, SERVER, "Several Content-Length lines.", _FRAMING),
    ("BAD_RESPONSE_LENGTH_AND_CODING", 502, SERVER, "Content-Length and Transfer-Encoding in one response.", _FRAMING),
    ("BAD_RESPONSE_TRANSFER_ENCODING", 502, SERVER, "Transfer-Encoding is not exactly `chunked`.", _FRAMING),
    ("BAD_RESPONSE_CODING_IN_1_0", 502, SERVER, "Transfer-Encoding in an HTTP/1.0 response.", _FRAMING),
    ("BAD_RESPONSE_HOST_TWICE", 502, SERVER, "Several Host lines in a response.", "Mend the server."),
    ("BAD_RESPONSE_HEAD_TOO_LARGE", 502, SERVER, "The response's head is larger than 1 MiB, or has over 200 lines.",
     "Mend the server: most often a cookie or a debug header grows without end."),
    ("BAD_RESPONSE_INTERIM", 502, SERVER, "More than 16 interim (1xx) responses to one request.", "Mend the server."),
    ("BAD_RESPONSE_101", 502, SERVER, "101 Switching Protocols to a request that did not ask for it.",
     "Mend the server."),
    ("BAD_RESPONSE_CHUNK_SIZE", 502, SERVER, "A chunk's size is not a hexadecimal number.", _FRAMING),
    ("BAD_RESPONSE_CHUNK_END", 502, SERVER, "A chunk is longer than its size says.", _FRAMING),
    ("BAD_RESPONSE_CHUNK_BARE_LF", 502, SERVER, "A chunk's line ends in LF without CR.", _FRAMING),
    ("BAD_RESPONSE_CHUNK_EXTENSION", 502, SERVER, "Malformed chunk extensions, or more of them than payload.",
     "Mend the server."),
    ("BAD_RESPONSE_TRAILER", 502, SERVER, "Malformed or too large trailers, or trailers that frame a message.",
     _FRAMING),
    # -- the client -----------------------------------------------------------------------------------------------
    ("CLIENT_GONE", 499, CLIENT, "The client left before the response was complete.",
     "Nothing, unless there are many: then clients give up because answers take too long (Duration)."),
    ("CLIENT_STALLED", 499, CLIENT,
     "The client did not take its response in time: all of it within writeTimeout, some of it within idleTimeout. Its "
     "connection was broken.",
     "Raise the timeout of the entry point where slow readers are meant; many from one address are an attack."),
    ("TOO_MANY_CONNECTIONS", 0, CLIENT,
     "The entry point's maxConnections were open; the new connection was closed at once.",
     "Raise maxConnections, lower idleTimeout, or add a machine."),
    ("TOO_MANY_CONNECTIONS_PER_IP", 0, CLIENT,
     "The address had the entry point's maxConnectionsPerIP open already; the new connection was closed at once.",
     "Raise maxConnectionsPerIP where many clients stand behind one address."),
    ("REQUEST_TIMEOUT", 408, CLIENT, "The client did not send its head, or went on with its body, within readTimeout.",
     "Raise readTimeout for slow clients; many from one address are an attack (slowloris)."),
    ("HEAD_TOO_LARGE", 431, CLIENT, "The head is larger than maxHeaderBytes, or has more lines than maxHeaderCount.",
     "As a rule cookies; clear them, or raise these limits of the entry point."),
    ("BODY_TOO_LARGE", 413, CLIENT, "The body is larger than a middleware allows.", "Raise that middleware's limit."),
    ("NOT_IMPLEMENTED", 501, CLIENT, "Something that is not supported: raised by a plugin.", "CauseDetail says more."),
    ("NOT_IMPLEMENTED_CONNECT", 501, CLIENT, "CONNECT: a reverse proxy opens no tunnel for it.",
     "Use a forward proxy."),
    ("NOT_IMPLEMENTED_CODING", 501, CLIENT, "A transfer coding besides chunked.", "Send chunked, or a length."),
    ("NOT_IMPLEMENTED_EXPECTATION", 501, CLIENT, "An Expect besides 100-continue.", "Mend the client."),
    ("BAD_REQUEST", 400, CLIENT, "The request may not be forwarded: raised by a plugin.", "CauseDetail says more."),
    ("BAD_REQUEST_TLS", 400, CLIENT, "A TLS handshake began on a connection that had carried plain requests.",
     "Open a new connection for TLS."),
    ("MISDIRECTED_TLS", 421, CLIENT,
     "The request's host has other TLS options than the name that the connection was made with.",
     "Browsers try again by themselves; other clients must send the host's own name in the handshake (SNI)."),
    ("BAD_CLIENT_HELLO", 400, CLIENT,
     "The first bytes of a TLS connection are no ClientHello, or break off within it; answered by a TLS alert.",
     "Nothing for a few: scanners do it. The debug log names the address."),
    ("NO_CLIENT_HELLO", 0, CLIENT,
     "No ClientHello within 5 seconds, or over 1,000 connections of a worker waited for theirs.",
     "Nothing for a few; many from one address are an attack."),
    ("TLS_HANDSHAKE", 0, CLIENT,
     "The handshake failed: no version or cipher in common, no client certificate where one is wanted, sniStrict.",
     "The debug log says which, and for which name."),
    ("BAD_REQUEST_VERSION", 505, CLIENT, "Neither HTTP/1.1 nor HTTP/1.0.", "Mend the client."),
    ("BAD_REQUEST_REQUEST_LINE", 400, CLIENT, "The request line is not method, target, version, each behind one space.",
     _SMUGGLING),
    ("BAD_REQUEST_METHOD", 400, CLIENT, "The method holds what no method may.", _SMUGGLING),
    ("BAD_REQUEST_EMPTY_LINES", 400, CLIENT, "Many empty lines before the request line.", "Mend the client."),
    ("BAD_REQUEST_TARGET", 400, CLIENT, "The target is neither a path nor an http URI, or holds raw bytes.",
     "Escape what is not visible ASCII."),
    ("BAD_REQUEST_FRAGMENT", 400, CLIENT, "A # in the target; it is never sent.", "Mend the client."),
    ("BAD_REQUEST_ASTERISK", 400, CLIENT, "The target * with a method other than OPTIONS.", "Mend the client."),
    ("BAD_REQUEST_ESCAPE", 400, CLIENT, "A % in the path that two hexadecimal digits do not follow.",
     "Escape the percent sign as %25."),
    ("BAD_REQUEST_ENCODED_CHARACTER", 400, CLIENT, "The path holds an escape that encodedCharacters forbids.",
     "Allow it in the entry point's encodedCharacters, or mend the client."),
    ("BAD_REQUEST_PATH", 400, CLIENT, "What a middleware made of the path begins with no slash.",
     "Look at the middleware's regular expression and replacement."),
    ("BAD_REQUEST_NO_HOST", 400, CLIENT, "An HTTP/1.1 request without Host.", "Mend the client."),
    ("BAD_REQUEST_HOST", 400, CLIENT, "Host is no host and port.", "Mend the client; escape nothing in host names."),
    ("BAD_REQUEST_HOST_TWICE", 400, CLIENT, "Several Host lines.", _SMUGGLING),
    ("BAD_REQUEST_HEADER_NAME", 400, CLIENT, "A header name holds what no name may, or a line has no colon.",
     _SMUGGLING),
    ("BAD_REQUEST_HEADER_VALUE", 400, CLIENT, "A header value holds NUL or another control character.", _SMUGGLING),
    ("BAD_REQUEST_SPACE_BEFORE_COLON", 400, CLIENT, "White space in or behind a header name.", _SMUGGLING),
    ("BAD_REQUEST_FOLDED_LINE", 400, CLIENT, "A header line is folded (obsolete).", _SMUGGLING),
    ("BAD_REQUEST_UNDERSCORE", 400, CLIENT, "A header name with an underscore; underscoreHeadersStrategy is reject.",
     "Spell it with a hyphen."),
    ("BAD_REQUEST_BARE_CR", 400, CLIENT, "A CR without LF in the head.", _SMUGGLING),
    ("BAD_REQUEST_BARE_LF", 400, CLIENT, "A line ends in LF without CR.", _SMUGGLING),
    ("BAD_REQUEST_LENGTH", 400, CLIENT, "Content-Length is not a plain decimal number.", _SMUGGLING),
    ("BAD_REQUEST_LENGTH_TWICE", 400, CLIENT, "Several Content-Length lines.", _SMUGGLING),
    ("BAD_REQUEST_LENGTH_AND_CODING", 400, CLIENT, "Content-Length and Transfer-Encoding in one request.", _SMUGGLING),
    ("BAD_REQUEST_TRANSFER_ENCODING", 400, CLIENT, "Transfer-Encoding is not exactly `chunked`.", _SMUGGLING),
    ("BAD_REQUEST_CODING_IN_1_0", 400, CLIENT, "Transfer-Encoding in an HTTP/1.0 request.", _SMUGGLING),
    ("BAD_REQUEST_CHUNK_SIZE", 400, CLIENT, "A chunk's size is not a hexadecimal number.", _SMUGGLING),
    ("BAD_REQUEST_CHUNK_END", 400, CLIENT, "A chunk is longer than its size says.", _SMUGGLING),
    ("BAD_REQUEST_CHUNK_BARE_LF", 400, CLIENT, "A chunk's line ends in LF without CR.", _SMUGGLING),
    ("BAD_REQUEST_CHUNK_EXTENSION", 400, CLIENT, "Malformed chunk extensions, or more of them than payload.",
     _SMUGGLING),
    ("BAD_REQUEST_TRAILER", 400, CLIENT, "Malformed or too large trailers, or trailers that frame a message.",
     _SMUGGLING),
    ("BAD_REQUEST_PROXY_PROTOCOL", 0, CLIENT, "The PROXY header cannot be read; the connection was closed.",
     "See that the balancer in front speaks the PROXY protocol, version 1 or 2."),
)  # fmt: skip

for _row in _TABLE:
    declare(*_row)

_HEAD: Final = """# Causes

Every request that the router itself had to refuse or could not answer has one cause: a word that stands in the access
log (the last of a `common` line; `Cause` in JSON, with a sentence in `CauseDetail`), in the metric
`edgerouter_exchange_failures_total{cause=...}`, and in the body of the answer for clients whose `Accept` asks for JSON:
`{"status":502,"cause":"CONNECT_REFUSED"}`. An answer never holds the address of a server.
`edgerouter causes CONNECT_REFUSED` prints one of these rows.

Status 0: nothing could be answered any more, the connection was closed. A cause may also stand beside a response that
had begun (`UPSTREAM_RESET`, `IDLE_TIMEOUT`, `TOTAL_TIMEOUT`): it broke off, and the client's connection with it.

| cause | status | whose fault | meaning | what to do |
|---|---|---|---|---|
"""


def page() -> str:
    """The reference page, ``docs/causes.md``: all that are declared now."""
    rows = (f"| `{c.name}` | {c.status} | {c.whose} | {c.meaning} | {c.remedy} |\n" for c in _declared.values())
    return _HEAD + "".join(rows)
