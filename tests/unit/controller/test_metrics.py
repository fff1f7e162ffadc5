from prometheus_client import generate_latest

from headrace.controller.metrics import Metrics
from headrace.reconcile.kinds import Key

KEY = Key("PulsarBridge", "shop", "x")


def ready(status: str) -> dict[str, object]:
    """A status with Ready."""
    return {"conditions": [{"type": "Ready", "status": status}], "backlog": 3, "consumers": 1}


def text(metrics: Metrics) -> str:
    """The page as Prometheus reads it."""
    return generate_latest(metrics.registry).decode()


def test_conditions_and_numbers_follow_the_status() -> None:
    metrics = Metrics()
    metrics.show(KEY, ready("False"))
    metrics.show(KEY, ready("True"))
    page = text(metrics)
    place = 'kind="PulsarBridge",name="x",namespace="shop"'
    assert f'headrace_operator_resource_condition{{{place},status="True",type="Ready"}} 1.0' in page
    assert f'headrace_operator_resource_condition{{{place},status="False",type="Ready"}} 0.0' in page
    assert f"headrace_resource_backlog{{{place}}} 3.0" in page
    metrics.show(KEY, {"conditions": []})
    assert place not in text(metrics)


def test_a_resource_that_is_gone_leaves_no_series() -> None:
    metrics = Metrics()
    metrics.show(KEY, ready("True"))
    metrics.hide(KEY)
    metrics.hide(KEY)
    assert 'name="x"' not in text(metrics)
    metrics.show(KEY, ready("True"))
    metrics.hide_all()
    assert 'name="x"' not in text(metrics)
