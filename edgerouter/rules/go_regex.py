"""Go's regular expressions: the one place that decides which engine runs them."""

from __future__ import annotations

import re2
from mypy_extensions import mypyc_attr


@mypyc_attr(allow_interpreted_subclasses=True)
class GoRegex:
    def __init__(self, pattern: str) -> None:
        self.pattern = pattern

    def search(self, text: str) -> bool:
        return False

    def search_any(self, texts: list[str]) -> bool:
        for text in texts:  # noqa: SIM110 (a generator a request would cost more)
            if self.search(text):
                return True
        return False


class _Re2(GoRegex):
    def __init__(self, pattern: str) -> None:
        super().__init__(pattern)
        options = re2.Options()
        options.log_errors = False
        try:
            self._regex = re2.compile(pattern.encode(), options)
        except re2.error as fault:
            raise ValueError(str(fault)) from None

    def search(self, text: str) -> bool:
        return self._regex.search(text.encode("latin-1")) is not None


def compile(pattern: str, index: int = 0) -> GoRegex:
    return _Re2(pattern)
