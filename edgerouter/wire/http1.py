"""HTTP/1.1 on the wire: bytes <-> messages, RFC 9112. Only a list of what the codec's files offer; no code here."""

from __future__ import annotations

from edgerouter.wire.http1_base import CHUNKED, LENGTH, NONE, UNTIL_CLOSE, Limits
from edgerouter.wire.http1_body import BodyReader
from edgerouter.wire.http1_encode import (
    LAST_CHUNK,
    encode_chunk,
    encode_last_chunk,
    encode_request_head,
    encode_response_head,
)
from edgerouter.wire.http1_request import RequestParser
from edgerouter.wire.http1_response import ResponseParser

__all__ = [
    "CHUNKED",
    "LAST_CHUNK",
    "LENGTH",
    "NONE",
    "UNTIL_CLOSE",
    "BodyReader",
    "Limits",
    "RequestParser",
    "ResponseParser",
    "encode_chunk",
    "encode_last_chunk",
    "encode_request_head",
    "encode_response_head",
]
