"""The options of ``encodedCharacters``: shapes only. Apart from what is compiled."""

from __future__ import annotations

from edgerouter.config.dynamic import Model


class Options(Model, frozen=True):
    """Options of ``encodedCharacters``."""

    # let %2F pass, a slash
    allow_encoded_slash: bool = False
    # let %5C pass, a backslash
    allow_encoded_back_slash: bool = False
    # let %00 pass, the null character
    allow_encoded_null_character: bool = False
    # let %3B pass, a semicolon
    allow_encoded_semicolon: bool = False
    # let %25 pass, a percent sign
    allow_encoded_percent: bool = False
    # let %3F pass, a question mark
    allow_encoded_question_mark: bool = False
    # let %23 pass, a hash
    allow_encoded_hash: bool = False
