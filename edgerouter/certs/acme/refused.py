"""Why there is no certificate: a code of ours and the authority's own words. Translates what the library raises."""

from __future__ import annotations

import datetime
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final
from urllib.parse import urlsplit

import requests
from acme import errors, messages

_SHORT: Final = 300  # letters of an error that is shown


class Refused(Exception):
    """The authority, or the way to it, says no. ``code`` is ours, the text the authority's own words; ``after`` are
    seconds that it asks to wait."""

    def __init__(self, code: str, words: str, after: float = 0.0) -> None:
        super().__init__(words)
        self.code = code
        self.after = after


def place_of(url: str) -> str:
    """A URL without what may be secret in it: login and query."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


@contextmanager
def translated(server: str, seconds: float) -> Iterator[None]:
    """Raises Refused for all that the library raises. ``seconds``: how long answers are waited for."""
    try:
        yield
    except messages.Error as error:
        raise Refused(_code(error), _said(error), wait_of(_said(error))) from error
    except errors.ValidationError as error:
        raise Refused("CHALLENGE_FAILED", _validation(error)) from error
    except errors.IssuanceError as error:
        raise Refused(_code(error.error), _said(error.error)) from error
    except (errors.TimeoutError, TimeoutError) as error:
        raise Refused("TIMEOUT", f"no answer within {seconds:.0f} s") from error
    except (errors.ClientError, errors.Error, requests.RequestException, ValueError) as error:
        raise Refused("UNREACHABLE", f"{server}: {_short(error)}") from error


_RETRY_AFTER: Final = re.compile(r"retry after (\d{4}-\d\d-\d\d)[ T](\d\d:\d\d:\d\d)", re.IGNORECASE)
_CODES: Final = {
    "rateLimited": "RATE_LIMITED",
    "badNonce": "BAD_NONCE",
    "caa": "CAA",
    "dns": "DNS",
    "rejectedIdentifier": "REJECTED",
    "unauthorized": "UNAUTHORIZED",
    "externalAccountRequired": "EAB_REQUIRED",
    "accountDoesNotExist": "ACCOUNT_GONE",
    "serverInternal": "AUTHORITY_FAULT",
    "malformed": "MALFORMED",
    "invalidProfile": "MALFORMED",
    "invalidContact": "MALFORMED",
    "unsupportedContact": "MALFORMED",
    "unsupportedIdentifier": "REJECTED",
    "alreadyReplaced": "ALREADY_REPLACED",
}


def _code(error: messages.Error) -> str:
    return _CODES.get(str(error.typ).rpartition(":")[2], "REFUSED")  # the library knows an older list than authorities


def _said(error: messages.Error) -> str:
    words = [str(error.detail or error.description or error.typ)]
    words += [f"{one.identifier.value}: {one.detail}" for one in error.subproblems or () if one.identifier]
    return "; ".join(words)


def wait_of(words: str, now: float | None = None) -> float:
    """Seconds until a moment that the words name (``retry after 2026-01-02 03:04:05 UTC``); 0 when they name none."""
    found = _RETRY_AFTER.search(words)
    if found is None:
        return 0.0
    moment = datetime.datetime.fromisoformat(f"{found.group(1)}T{found.group(2)}+00:00").timestamp()
    return max(0.0, moment - (time.time() if now is None else now))


def _validation(error: errors.ValidationError) -> str:
    words = []
    for authorization in error.failed_authzrs:
        for challenge in authorization.body.challenges:
            if challenge.error is not None:
                words.append(f"{authorization.body.identifier.value} ({challenge.chall.typ}): {_said(challenge.error)}")
    return "; ".join(words) or "the authority does not say why"


def _short(error: BaseException) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= _SHORT else text[: _SHORT - 3] + "..."
