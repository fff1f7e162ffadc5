import pytest
import yaml

from headrace.reconcile.offline import plan
from tests.unit.reconcile.bodies import body


@pytest.mark.parametrize(
    ("kind", "made"),
    [
        ("ValkeyWorker", "Deployment"),
        ("PulsarBridge", "Deployment"),
        ("HybridPipeline", "PulsarBridge"),
    ],
)
def test_the_plan_shows_the_objects(kind: str, made: str) -> None:
    text = plan(body(kind, status=False))
    assert made in [each["kind"] for each in yaml.safe_load_all(text)]


def test_the_plan_of_a_bridge_shows_what_happens_to_pulsar() -> None:
    text = plan(body("PulsarBridge", status=False))
    assert "# Pulsar: create topic persistent://shop/orders/events\n" in text
    assert "# Pulsar: create subscription headrace-dead-letters on topic" in text


def test_the_plan_says_what_is_wrong() -> None:
    broken = body("ValkeyWorker", status=False)
    del broken["spec"]["celery"]
    assert "mode: Celery and the block celery go together" in plan(broken)


@pytest.mark.parametrize("metadata", [None, "x", {"name": "y"}])
def test_odd_metadata_is_no_crash(metadata: object) -> None:
    assert plan({**body("ValkeyWorker"), "metadata": metadata}).startswith("# ValkeyWorker default/")


def test_a_foreign_kind_is_refused() -> None:
    with pytest.raises(ValueError, match="kind must be one of ValkeyWorker, PulsarBridge, HybridPipeline, not Pod"):
        plan({"kind": "Pod"})
