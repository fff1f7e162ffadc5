"""One alerting rule."""

from dataclasses import dataclass
from typing import Any

from headrace.api.resource import Resource
from headrace.desired.promql import seconds

RUNBOOKS = "docs/runbooks"
"""Where each alert has its page, in the project's repository."""


@dataclass(frozen=True)
class Alert:
    """An alert as the builders write it; texts are Prometheus templates and hold no text of the user's."""

    name: str
    severity: str
    """``critical``: somebody should look now. ``warning``: somebody should look today."""
    expression: str
    for_seconds: int
    summary: str
    description: str


def build_rule(alert: Alert, resource: Resource) -> dict[str, Any]:
    """*alert* as an entry of a PrometheusRule. Its labels say which resource it is about, and route it."""
    return {
        "alert": alert.name,
        "expr": alert.expression,
        "for": seconds(alert.for_seconds),
        "labels": {
            "severity": alert.severity,
            "namespace": resource.metadata.namespace,
            "kind": resource.kind,
            "name": resource.metadata.name,
        },
        "annotations": {
            "summary": alert.summary,
            "description": alert.description,
            "runbook": f"{RUNBOOKS}/{alert.name}.md",
        },
    }
