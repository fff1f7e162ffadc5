from typing import Any

import pytest

from headrace.reconcile.snapshot import Numbers, Snapshot
from headrace.reconcile.valkey_facts import ValkeyFacts, facts_of
from headrace.reconcile.verdicts import ClusterUnsupportedError
from tests.unit.reconcile.bodies import INPUTS, body, live, message, plan, states

GOOD = {"aof_enabled": 1, "maxmemory": 0, "maxmemory_policy": "allkeys-lru", "valkey_version": "9.1.2"}


def judged(kind: str = "ValkeyWorker", **info: Any) -> Any:
    made = body(kind)
    return plan(Snapshot(made, INPUTS, live(made), numbers=Numbers(valkey=facts_of({**GOOD, **info}))))


def test_a_valkey_that_keeps_everything_is_safe() -> None:
    assert states(judged())["ValkeySafe"] == ("True", "Succeeded")
    assert states(judged(maxmemory=1 << 30, maxmemory_policy="noeviction"))["ValkeySafe"] == ("True", "Succeeded")


@pytest.mark.parametrize(
    ("info", "reason", "says"),
    [
        ({"aof_enabled": 0}, "AppendOnlyFileOff", "set appendonly yes"),
        ({"maxmemory": 1 << 30}, "EvictionPossible", "set maxmemory-policy noeviction (it is allkeys-lru)"),
        ({"valkey_version": "8.0.1"}, "VersionUnsuitable", "use 8.0.2 or later"),
        ({"valkey_version": "8.0.1", "aof_enabled": 0}, "VersionUnsuitable", "set appendonly yes"),
    ],
)
def test_what_is_unsafe_is_a_warning_and_holds_nothing_back(info: dict[str, Any], reason: str, says: str) -> None:
    made = judged(**info)
    assert states(made)["ValkeySafe"] == ("False", reason)
    assert says in message(made, "ValkeySafe")
    assert states(made)["Ready"] == ("True", "Succeeded")


def test_a_version_that_breaks_celery_breaks_no_bridge() -> None:
    assert states(judged("PulsarBridge", valkey_version="8.0.0"))["ValkeySafe"] == ("True", "Succeeded")


def test_what_valkey_does_not_tell_is_unknown() -> None:
    assert facts_of(Exception("NOPERM")) == ValkeyFacts()
    made = body("ValkeyWorker")
    silent = plan(Snapshot(made, INPUTS, live(made), numbers=Numbers(valkey=ValkeyFacts())))
    assert states(silent)["ValkeySafe"] == ("Unknown", "NotPermitted")
    assert states(silent)["Ready"] == ("True", "Succeeded")
    away = plan(Snapshot(made, INPUTS, live(made)))
    assert "ValkeySafe" not in states(away)


@pytest.mark.parametrize("kind", ["ValkeyWorker", "PulsarBridge"])
def test_p8_a_cluster_is_refused_until_somebody_changes_something(kind: str) -> None:
    made = body(kind)
    refused = plan(Snapshot(made, INPUTS, live(made), problems=(ClusterUnsupportedError("Valkey is a cluster"),)))
    for condition in ("ConnectionsReady", "Ready"):
        assert states(refused)[condition] == ("False", "ClusterUnsupported")
    assert states(refused)["Stalled"] == ("True", "ClusterUnsupported")
