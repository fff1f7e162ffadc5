"""A metrics registry whose every sample carries the labels of the custom resource."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from headrace.api.resource import Resource
from headrace.process import connection_retry


class _Labelled(Collector):
    def __init__(self, inner: CollectorRegistry, labels: dict[str, str]) -> None:
        self._inner = inner
        self._labels = labels

    def describe(self) -> list[Metric]:
        return []

    def collect(self) -> Iterator[Metric]:
        for metric in self._inner.collect():
            metric.samples = [sample._replace(labels={**self._labels, **sample.labels}) for sample in metric.samples]
            yield metric


def exposition(registry: CollectorRegistry, resource: Resource) -> bytes:
    """*registry* in Prometheus' text format, with the base labels ``namespace`` and ``name`` of *resource*.

    A sample's own label wins: celery-exporter calls the task's name ``name``.
    """
    labels = {"namespace": resource.metadata.namespace, "name": resource.metadata.name}
    outer = CollectorRegistry(auto_describe=False)
    for each in (registry, connection_retry.REGISTRY):
        outer.register(_Labelled(each, labels))
    return generate_latest(outer)
