"""The operator's Prometheus series."""

from collections.abc import Iterable, Mapping
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from headrace.api.status import Status
from headrace.process.connection_retry import EXHAUSTED
from headrace.reconcile.conditions import conditions_of
from headrace.reconcile.kinds import Key

_RESOURCE = ("kind", "namespace", "name")


class Metrics:
    """All series, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.registry.register(EXHAUSTED)
        self.reconciles = Counter(
            "headrace_operator_reconcile_total",
            "Passes over a resource; result is success, retry, gone or error.",
            ("kind", "result"),
            registry=self.registry,
        )
        self.seconds = Histogram(
            "headrace_operator_reconcile_seconds",
            "Duration of a pass.",
            ("kind",),
            buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
            registry=self.registry,
        )
        self.queue_depth = Gauge(
            "headrace_operator_queue_depth", "Resources that are due and wait.", registry=self.registry
        )
        self.leader = Gauge("headrace_operator_leader", "1 while this process leads.", registry=self.registry)
        self.writes = Counter(
            "headrace_operator_api_writes_total",
            "Mutating requests to the Kubernetes API, leader election left out.",
            ("verb", "kind"),
            registry=self.registry,
        )
        self.conditions = Gauge(
            "headrace_operator_resource_condition",
            "1 for the status that a condition has now.",
            (*_RESOURCE, "type", "status"),
            registry=self.registry,
        )
        self._numbers = {
            field: Gauge(name, text, _RESOURCE, registry=self.registry)
            for field, name, text in (
                ("backlog", "headrace_resource_backlog", "What waits at the source."),
                ("deadLetters", "headrace_resource_dead_letters", "What lies in the dead-letter topic or list."),
                ("consumers", "headrace_resource_consumers", "Consumers on the source's subscription."),
            )
        }
        self._shown: dict[Key, set[tuple[str, str]]] = {}

    def wrote(self, verb: str, kind: str) -> None:
        """Count one write."""
        self.writes.labels(verb, kind).inc()

    def show(self, key: Key, status: Mapping[str, Any]) -> None:
        """Show a resource's conditions and live numbers; those it has no more go."""
        place = (key.kind, key.namespace, key.name)
        shown = {(str(each["type"]), str(value)) for each in conditions_of(status) for value in Status}
        for kind, value in self._shown.get(key, set()) - shown:
            self.conditions.remove(*place, kind, value)
        for each in conditions_of(status):
            for value in Status:
                self.conditions.labels(*place, each["type"], value).set(each["status"] == value)
        self._shown[key] = shown
        for field, gauge in self._numbers.items():
            if isinstance(status.get(field), int):
                gauge.labels(*place).set(status[field])
            else:
                _remove(gauge, place)

    def hide_all(self) -> None:
        """This process knows of no resource any more: another one leads."""
        for key in list(self._shown):
            self.hide(key)

    def hide(self, key: Key) -> None:
        """The resource is gone."""
        place = (key.kind, key.namespace, key.name)
        for kind, value in self._shown.pop(key, set()):
            self.conditions.remove(*place, kind, value)
        for gauge in self._numbers.values():
            _remove(gauge, place)


def _remove(gauge: Gauge, place: Iterable[str]) -> None:
    try:
        gauge.remove(*place)
    except KeyError:
        return
