"""Exposition for Prometheus: the registry's samples through prometheus-client, which knows escaping and OpenMetrics.

Only the control process imports this. Counting is not done here, nor by prometheus-client.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from typing import Any, Final

from prometheus_client import ProcessCollector
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector, CollectorRegistry

from edgerouter.contracts.snapshot import Sample
from edgerouter.telemetry.registry import Audience, Levels, MetricsRegistry

_CLASSES: Final[dict[str, Any]] = {"counter": CounterMetricFamily, "gauge": GaugeMetricFamily}


class RouterCollector(Collector):
    """Turns samples into metric families, one a name."""

    def __init__(self, registry: MetricsRegistry, levels: Levels | None) -> None:
        self._registry = registry
        self._levels = levels
        self._audience = Audience()

    def collect(self) -> Iterator[Metric]:
        """Families in order of their names."""
        ordered = sorted(self._registry.samples(self._audience, self._levels), key=lambda sample: sample.name)
        for name, samples in groupby(ordered, key=lambda sample: sample.name):
            yield _family(self._registry.families[name], name, list(samples))


def _family(family_of: tuple[str, str], name: str, samples: list[Sample]) -> Metric:
    kind, help_text = family_of
    labels = list(samples[0].labels)
    if kind == "histogram":
        histogram = HistogramMetricFamily(name, help_text, labels=labels)
        for sample in samples:
            buckets = [(_bound(bound), float(count)) for bound, count in sample.buckets]
            histogram.add_metric([sample.labels[label] for label in labels], buckets, sum_value=sample.value)
        return histogram
    family: Metric = _CLASSES[kind](name, help_text, labels=labels)
    for sample in samples:
        family.add_sample(name, dict(sample.labels), sample.value)
    return family


def _bound(bound: float) -> str:
    return "+Inf" if bound == float("inf") else repr(bound)


class Exposition:
    """The page /metrics; ``levels`` are those that metrics.prometheus asks for, the registry's own by default."""

    def __init__(self, registry: MetricsRegistry, levels: Levels | None = None) -> None:
        self._collectors = CollectorRegistry(auto_describe=False)
        self._collectors.register(RouterCollector(registry, levels))
        ProcessCollector(registry=self._collectors)

    def render(self, accept: str) -> tuple[bytes, str]:
        """The page and its content type for an Accept header; takes milliseconds per hundred services, so call it
        from a thread."""
        encode, content_type = choose_encoder(accept)
        page: bytes = encode(self._collectors)
        return page, content_type
