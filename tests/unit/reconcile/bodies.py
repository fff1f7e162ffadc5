"""Resources and their surroundings, for the planners' tests."""

from copy import deepcopy
from datetime import UTC, datetime
from typing import Any

from headrace.api.pulsar_bridge import DEAD_LETTER_SUBSCRIPTION
from headrace.api.resource import API_VERSION, Resource, parse
from headrace.desired.inputs import Inputs
from headrace.pulsar.facts import NamespaceFacts, PulsarFacts, TopicFacts
from headrace.pulsar.wanted import Policy
from headrace.reconcile.desires import desired_children
from headrace.reconcile.kinds import MODELS, Reference
from headrace.reconcile.passes import PLANNERS
from headrace.reconcile.plan import Plan
from headrace.reconcile.snapshot import Snapshot
from tests.unit.reconcile.flux_checker import violations

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
EARLIER = "2026-11-21T11:00:00Z"
INPUTS = Inputs(worker_image="worker:1", secrets_hash="s1", monitoring=False)
EVENTS, DEAD = "persistent://shop/orders/events", "persistent://shop/orders/events-pricing-DLQ"

_VALKEY = {"url": "valkey://valkey:6379/0"}
_PULSAR = {"serviceUrl": "pulsar://pulsar:6650", "adminUrl": "http://pulsar:8080"}
_SPECS: dict[str, dict[str, Any]] = {
    "ValkeyWorker": {"valkey": _VALKEY, "celery": {"app": "shop.tasks:app", "queues": [{"name": "pricing"}]}},
    "PulsarBridge": {
        "source": {"pulsar": {"topic": EVENTS, "subscription": "pricing"}},
        "sink": {"valkey": {"celery": {"task": "shop.tasks.price", "queue": "pricing"}}},
        "valkey": _VALKEY,
        "pulsar": _PULSAR,
    },
    "HybridPipeline": {
        "valkey": _VALKEY,
        "pulsar": _PULSAR,
        "ingest": {"topic": EVENTS, "subscription": "pricing"},
        "process": {
            "task": "shop.tasks.price",
            "queue": "pricing",
            "worker": {"celery": {"app": "shop.tasks:app"}},
        },
        "results": {"topic": "persistent://shop/orders/priced"},
    },
}


def body(kind: str, *, status: bool = True, generation: int = 1, **spec: Any) -> dict[str, Any]:
    """A resource; *spec* replaces top-level fields. *status*: whether it has been seen before."""
    made: dict[str, Any] = {
        "apiVersion": API_VERSION,
        "kind": kind,
        "metadata": {"name": "x", "namespace": "shop", "uid": f"uid-{kind}", "generation": generation},
        "spec": {**deepcopy(_SPECS[kind]), **spec},
    }
    if status:
        made["status"] = {"observedGeneration": generation, "conditions": []}
    return made


def resource(made: dict[str, Any]) -> Resource:
    """The parsed resource."""
    return parse(MODELS[made["kind"]], made)


def live(made: dict[str, Any], inputs: Inputs = INPUTS, *, rolled_out: bool = True) -> dict[Reference, dict[str, Any]]:
    """All children as they stand after their creation; Deployments are up when *rolled_out*."""
    children = {}
    for desired in desired_children(resource(made), inputs):
        child = deepcopy(desired)
        child["metadata"].update(uid=f"uid-{child['kind']}", generation=1, resourceVersion="5")
        if child["kind"] == "Deployment" and rolled_out:
            child["status"] = deployment_status(child["spec"]["replicas"])
        children[Reference.of(child)] = child
    return children


def deployment_status(replicas: int) -> dict[str, Any]:
    """The status of a Deployment that is all up."""
    return {
        "observedGeneration": 1,
        "replicas": replicas,
        "updatedReplicas": replicas,
        "readyReplicas": replicas,
        "availableReplicas": replicas,
        "conditions": [
            {"type": "Available", "status": "True"},
            {"type": "Progressing", "status": "True", "reason": "NewReplicaSetAvailable"},
        ],
    }


def pulsar_as_wanted() -> PulsarFacts:
    """A Pulsar in which the bridge of this page has all it wants."""
    return PulsarFacts(
        clusters=("standalone",),
        namespaces={"shop/orders": NamespaceFacts(exists=True)},
        topics={
            EVENTS: TopicFacts(exists=True, subscriptions=frozenset({"pricing"})),
            DEAD: TopicFacts(
                exists=True,
                properties={"headrace.owner": "PulsarBridge/shop/x"},
                policies={Policy.DEDUPLICATION: True},
                subscriptions=frozenset({DEAD_LETTER_SUBSCRIPTION}),
            ),
        },
    )


def plan(snapshot: Snapshot) -> Plan:
    """The plan, its status checked against Flux's rules."""
    made = PLANNERS[snapshot.body["kind"]](snapshot, NOW)
    generation = snapshot.body["metadata"]["generation"]
    assert violations(made.status, generation) == []
    return made


def states(made: Plan) -> dict[str, tuple[str, str]]:
    """Condition type -> (status, reason)."""
    return {each["type"]: (each["status"], each["reason"]) for each in made.status["conditions"]}


def message(made: Plan, kind: str = "Ready") -> str:
    """The message of a condition."""
    return next(str(each["message"]) for each in made.status["conditions"] if each["type"] == kind)


def kinds(made: Plan) -> list[str]:
    """What the plan writes, in order."""
    return [each.reference.kind for each in made.apply]
