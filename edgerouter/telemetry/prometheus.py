"""The page /metrics: the registry's samples as text. What the process itself uses is told by prometheus-client.

Only the control process imports this. The text is written here and not by prometheus-client, which needs ten times as
long for the same lines: with 10,000 services the process would be busy for seconds at each scrape. Which of the two
formats is wanted, and under which content type, is left to it; tests read the page with its parsers.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import accumulate, groupby
from typing import Final

from prometheus_client import ProcessCollector
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import CollectorRegistry

from edgerouter.contracts.snapshot import Sample
from edgerouter.telemetry.levels import Labels, Level, Levels
from edgerouter.telemetry.reader import Traffic
from edgerouter.telemetry.registry import PREFIX, Audience, MetricsRegistry

_OPEN_METRICS: Final = "application/openmetrics-text"
_END: Final = b"# EOF\n"


class Exposition:
    """The page /metrics; ``levels`` are those that metrics.prometheus asks for, the registry's own by default."""

    def __init__(self, registry: MetricsRegistry, levels: Levels | None = None) -> None:
        self._registry = registry
        self._levels = levels
        self._audience = Audience()
        self._process = CollectorRegistry(auto_describe=False)
        ProcessCollector(registry=self._process)

    def render(self, accept: str) -> tuple[bytes, str]:
        """The page and its content type for an Accept header; takes milliseconds per thousand services, so call it
        from a thread."""
        encode, content_type = choose_encoder(accept)
        is_open_metrics = content_type.startswith(_OPEN_METRICS)
        text = _Text(self._registry, is_open_metrics)
        collected = self._registry.collect(self._audience, self._levels)
        text.samples(collected.states)
        for level in collected.levels:
            text.level(level)
        own: bytes = encode(self._process)
        return text.page() + (own if not is_open_metrics else own.removesuffix(_END) + _END), content_type


class _Text:
    """Lines of one page. In OpenMetrics a counter's family lacks the ``_total`` of its samples."""

    def __init__(self, registry: MetricsRegistry, is_open_metrics: bool) -> None:
        self._families = registry.families
        self._bounds = [repr(bound) for bound in registry.reader.bounds] + ["+Inf"]
        self._is_open_metrics = is_open_metrics
        self._parts: list[str] = []

    def page(self) -> bytes:
        """All that was written."""
        return "".join(self._parts).encode()

    def samples(self, samples: Iterable[Sample]) -> None:
        """Counters and gauges, one family after the other."""
        ordered = sorted(samples, key=lambda sample: sample.name)
        for name, group in groupby(ordered, key=lambda sample: sample.name):
            self._family(name)
            for sample in group:
                labels = _text_of(tuple(sample.labels.items()))
                self._parts.append(f"{name}{{{labels}}} {sample.value!r}\n" if labels else f"{name} {sample.value!r}\n")

    def level(self, level: Level) -> None:
        """The families of one level."""
        name = f"{PREFIX}_{level.name}"
        rows = [(_text_of(labels), traffic) for labels, traffic in level.rows()]
        if not rows:
            return
        self._counts(f"{name}_requests_total", ((text, traffic.requests()) for text, traffic in rows))
        self._counts(f"{name}_requests_bytes_total", ((text, traffic.bytes_in) for text, traffic in rows))
        self._counts(f"{name}_responses_bytes_total", ((text, traffic.bytes_out) for text, traffic in rows))
        self._histogram(f"{name}_request_duration_seconds", rows)
        tls = level.tls()
        if tls:
            self._counts(f"{name}_requests_tls_total", ((_text_of(labels), count) for labels, count in tls))
        if level.name == "service":
            counts = ((_text_of(labels), count) for labels, count in level.retries())
            self._counts(f"{name}_retries_total", counts)

    def _family(self, name: str) -> None:
        kind, help_text = self._families[name]
        shown = name.removesuffix("_total") if self._is_open_metrics and kind == "counter" else name
        self._parts.append(f"# HELP {shown} {help_text}\n# TYPE {shown} {kind}\n")

    def _counts(self, name: str, rows: Iterable[tuple[str, int]]) -> None:
        self._family(name)
        self._parts += [f"{name}{{{text}}} {count}\n" for text, count in rows]

    def _histogram(self, name: str, rows: Iterable[tuple[str, Traffic]]) -> None:
        self._family(name)
        add = self._parts.append
        for text, traffic in rows:
            start = f'{name}_bucket{{{text},le="'
            below = 0
            for bound, below in zip(self._bounds, accumulate(traffic.buckets), strict=True):
                add(f'{start}{bound}"}} {below}\n')
            add(f"{name}_count{{{text}}} {below}\n{name}_sum{{{text}}} {traffic.duration / 1e9!r}\n")


def _text_of(labels: Labels) -> str:
    return ",".join([f'{name}="{_escaped(value)}"' for name, value in labels])


def _escaped(value: str) -> str:
    if "\\" in value or '"' in value or "\n" in value:
        return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return value
