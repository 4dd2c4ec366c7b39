"""What OpenSSL can do and Python's ``ssl`` does not hand on: keys of tickets, the context that sessions belong to,
lists of curves, certificates of clients that are asked for but not verified.

The functions are called in the very library that ``ssl`` has loaded, on the ``SSL_CTX`` behind an ``SSLContext``. Where
that lies is checked before anything is touched (docs/decisions/0014-tls.md); where the check fails, ``REASON``
says why, and what needs it is a named problem instead of a guess. Nothing about options or certificates lives here.

Compiled code lets go of a local variable after its last use, not at the function's end: what C works on is therefore
handed over as an object, or held by the caller.
"""

from __future__ import annotations

import ctypes
import ssl
from typing import Any, Final

TICKET_KEY_SIZE: Final = 80  # bytes: name 16, HMAC 32, AES-256 32 (OpenSSL's SSL_CTX_set_tlsext_ticket_keys)

_GET_TICKET_KEYS: Final = 58
_SET_TICKET_KEYS: Final = 59
_SET_GROUPS_LIST: Final = 92
_VERIFY_PEER: Final = 1
_VERIFY_REQUIRED: Final = 3
_PROBE: Final = bytes(range(TICKET_KEY_SIZE))


def _believe(preverified: int, store: int) -> int:
    """OpenSSL asks whether a client's certificate will do; whoever set this takes any."""
    return 1


def _load() -> Any:
    """The library that ``ssl`` uses, whether it is linked dynamically or built in. Raises OSError, AttributeError."""
    import _ssl

    library: Any = ctypes.CDLL(getattr(_ssl, "__file__", None))
    pointer, number = ctypes.c_void_p, ctypes.c_long
    library.SSL_CTX_get_options.argtypes = [pointer]
    library.SSL_CTX_get_options.restype = ctypes.c_uint64
    library.SSL_CTX_ctrl.argtypes = [pointer, ctypes.c_int, number, pointer]
    library.SSL_CTX_ctrl.restype = number
    library.SSL_CTX_set_session_id_context.argtypes = [pointer, ctypes.c_char_p, ctypes.c_uint]
    library.SSL_CTX_set_session_id_context.restype = ctypes.c_int
    library.SSL_CTX_set_verify.argtypes = [pointer, ctypes.c_int, pointer]
    library.SSL_CTX_set_verify.restype = None
    return library


_Callback: Any = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int, ctypes.c_void_p)
_BELIEVE: Final[Any] = _Callback(_believe)


def _address(context: ssl.SSLContext) -> int:
    """The ``SSL_CTX *``: the first member of CPython's ``PySSLContext``, right behind the object's head."""
    return ctypes.c_void_p.from_address(id(context) + object.__basicsize__).value or 0


def _is_mapped(address: int) -> bool:
    """True when the address and the page after it may be read."""
    with open("/proc/self/maps") as maps:
        for line in maps:
            first, _, rest = line.partition("-")
            last, _, access = rest.partition(" ")
            if int(first, 16) <= address and address + 4096 <= int(last, 16):
                return access.startswith("rw")
    return False


def _check(library: Any, context: ssl.SSLContext) -> str:
    """Why the library cannot be used; "" when a context, held by the caller, answers as it must."""
    address = _address(context)
    if address % 8 or not _is_mapped(address):
        return "the SSL_CTX is not where it is expected"
    for options in (context.options, context.options ^ ssl.OP_NO_TICKET):
        context.options = options
        if library.SSL_CTX_get_options(address) != int(options) & 0xFFFFFFFFFFFFFFFF:
            return "the SSL_CTX does not answer as its SSLContext does"
    if library.SSL_CTX_ctrl(address, _SET_TICKET_KEYS, 0, None) != TICKET_KEY_SIZE:
        return "its ticket keys have another size"
    given, got = ctypes.create_string_buffer(_PROBE, TICKET_KEY_SIZE), ctypes.create_string_buffer(TICKET_KEY_SIZE)
    library.SSL_CTX_ctrl(address, _SET_TICKET_KEYS, TICKET_KEY_SIZE, given)
    library.SSL_CTX_ctrl(address, _GET_TICKET_KEYS, TICKET_KEY_SIZE, got)
    return "" if got.raw == _PROBE else "its ticket keys cannot be set"


def _open() -> tuple[Any, str]:
    try:
        library = _load()
        return library, _check(library, ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))
    except (OSError, AttributeError, ImportError, ValueError) as error:
        return None, str(error)


_LIBRARY, REASON = _open()


def available() -> bool:
    """True when the functions below may be called."""
    return REASON == ""


def set_ticket_key(context: ssl.SSLContext, key: bytes) -> None:
    """Seal tickets with this key of ``TICKET_KEY_SIZE`` bytes; its first 16 stand in front of each ticket."""
    buffer = ctypes.create_string_buffer(key, TICKET_KEY_SIZE)
    address = _address(context)
    if _LIBRARY.SSL_CTX_ctrl(address, _SET_TICKET_KEYS, TICKET_KEY_SIZE, buffer) != 1:
        raise ssl.SSLError("the ticket key was not taken")
    ctypes.memset(buffer, 0, TICKET_KEY_SIZE)


def set_session_context(context: ssl.SSLContext, name: bytes) -> None:
    """Sessions of this context resume only in contexts of the same name (at most 32 bytes)."""
    if _LIBRARY.SSL_CTX_set_session_id_context(_address(context), name, len(name)) != 1:
        raise ssl.SSLError("the session context was not taken")


def set_curves(context: ssl.SSLContext, names: str) -> None:
    """Offer these curves for the key exchange, the best first, as in ``X25519:P-256``. Raises ssl.SSLError."""
    buffer = ctypes.create_string_buffer(names.encode())
    if _LIBRARY.SSL_CTX_ctrl(_address(context), _SET_GROUPS_LIST, 0, buffer) != 1:
        raise ssl.SSLError(f"OpenSSL does not know all of these curves: {names}")


def ask_for_any_certificate(context: ssl.SSLContext, required: bool) -> None:
    """Ask clients for a certificate and take whatever comes, unverified (RequestClientCert, RequireAnyClientCert)."""
    mode = _VERIFY_REQUIRED if required else _VERIFY_PEER
    _LIBRARY.SSL_CTX_set_verify(_address(context), mode, ctypes.cast(_BELIEVE, ctypes.c_void_p))
