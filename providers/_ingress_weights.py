"""``service-weights`` (1.x): percentages of one path's services -> weights. Pure.

    traefik.ingress.kubernetes.io/service-weights: |
      shop: 99%
      shop-canary: 1%

Up to three decimals count. Services that are not listed share what is left.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from edgerouter.providers._ingress_annotations import Asked, yaml_of

WHOLE: Final = 100_000  # 100 % in thousandths of a percent
_PERCENT: Final = re.compile(r"\s*(\d{1,3}(?:\.\d+)?)\s*%?\s*")


def read_weights(asked: Asked) -> dict[str, int]:
    """Return thousandths of a percent by service; what cannot be read becomes a problem and is left out."""
    word = "service-weights"
    if word not in asked.old:
        return {}
    weights: dict[str, int] = {}
    for service, text in yaml_of(asked, word).items():
        found = _PERCENT.fullmatch(str(text))
        if found is None or float(found.group(1)) > 100:
            asked.problem(
                word, f"{service}: expected a percentage such as 12.5%, got {str(text)[:40]!r}", "write 12.5%"
            )
        else:
            weights[str(service)] = round(float(found.group(1)) * 1000)
    return weights


def share(asked: Asked, weights: dict[str, int], services: Sequence[str], path: str) -> dict[str, int]:
    """Return each service's weight at ``path``; every one the same when nothing is said of any of them.

    A sum that is not 100 %, and no unlisted service to take the rest, is a problem: the weights' ratio is kept.
    """
    listed = {name: weights[name] for name in services if name in weights}
    if not listed:
        return dict.fromkeys(services, 1)
    total, rest = sum(listed.values()), [name for name in services if name not in weights]
    if total > WHOLE or (total < WHOLE and not rest):
        said = " + ".join(f"{name} {value / 1000:g}%" for name, value in listed.items())
        message = f"path {path}: {said} is {total / 1000:g} %, not 100 %; the ratio between them is kept"
        asked.problem("service-weights", message, "make the percentages of a path's services add up to 100", "warning")
    left = max(WHOLE - total, 0)
    return listed | {name: left // len(rest) for name in rest}


def absent(asked: Asked, weights: dict[str, int], services: Sequence[str]) -> None:
    """Name services that have a weight and no path."""
    for name in weights:
        if name not in services:
            message = f"service {name!r} has a weight, but no path of this Ingress leads to it"
            asked.problem("service-weights", message, f"add a path to it, or remove {name!r}", "warning")
