from typing import Any

from headrace.reconcile.kinds import Reference
from headrace.reconcile.snapshot import Snapshot
from tests.unit.reconcile.bodies import INPUTS, body, kinds, live, message, plan, states

INGEST, PROCESS, RESULTS = (
    Reference("PulsarBridge", "shop", "x-ingest"),
    Reference("ValkeyWorker", "shop", "x-process"),
    Reference("PulsarBridge", "shop", "x-results"),
)


def stages(**changes: Any) -> dict[Reference, dict[str, Any]]:
    """The children, all ready; *changes* to a stage's status by its name."""
    children = live(body("HybridPipeline"))
    for reference, child in children.items():
        stage = reference.name.removeprefix("x-")
        child["status"] = {
            "observedGeneration": 1,
            "conditions": [
                {"type": "Ready", "status": "True", "reason": "Succeeded", "message": "runs"},
                {"type": "Available", "status": "True", "reason": "Succeeded", "message": "serves"},
            ],
            **changes.get(stage, {}),
        }
    return children


def not_ready(status: str, reason: str, *more: str) -> dict[str, Any]:
    """A child's status that is not ready."""
    kinds = ("Ready", *more)
    conditions = [
        {"type": kind, "status": status if kind == "Ready" else "True", "reason": reason, "message": "so"}
        for kind in kinds
    ]
    return {"conditions": conditions}


def test_a_new_pipeline_makes_three_children_the_takers_first() -> None:
    made = plan(Snapshot(body("HybridPipeline"), INPUTS))
    assert [str(each.reference) for each in made.apply] == [str(each) for each in (RESULTS, PROCESS, INGEST)]
    assert states(made)["Ready"] == ("Unknown", "Progressing")


def test_p3_a_converged_pipeline_writes_nothing() -> None:
    made = body("HybridPipeline")
    first = plan(Snapshot(made, INPUTS, stages()))
    assert states(first)["Ready"] == ("True", "Succeeded")
    settled = plan(Snapshot({**made, "status": first.status}, INPUTS, stages()))
    assert not settled.writes
    assert settled.status == first.status
    assert settled.events == ()


def test_ready_needs_every_stage_and_names_the_one_that_is_not() -> None:
    made = plan(Snapshot(body("HybridPipeline"), INPUTS, stages(process=not_ready("False", "PodsFailing"))))
    assert states(made)["ProcessingReady"] == ("False", "PodsFailing")
    assert states(made)["Ready"] == ("False", "StageNotReady")
    assert message(made) == "ValkeyWorker/x-process: so"
    assert made.status["stages"][1] == {
        "name": "process",
        "kind": "ValkeyWorker",
        "resource": "x-process",
        "ready": False,
        "reason": "PodsFailing",
    }


def test_a_stalled_stage_stalls_the_pipeline() -> None:
    stalled = stages(ingest=not_ready("False", "PartitionDecrease", "Stalled"))
    made = plan(Snapshot(body("HybridPipeline"), INPUTS, stalled))
    assert states(made)["Stalled"] == ("True", "StageNotReady")


def test_a_stage_that_has_not_seen_its_spec_is_not_ready() -> None:
    children = stages()
    children[INGEST]["metadata"]["generation"] = 2
    made = plan(Snapshot(body("HybridPipeline"), INPUTS, children))
    assert states(made)["IngestReady"] == ("Unknown", "Progressing")
    assert states(made)["Ready"] == ("Unknown", "Progressing")


def test_a_changed_pipeline_is_not_ready_by_its_childrens_old_status() -> None:
    new = body("HybridPipeline", generation=2, results={"topic": "persistent://shop/orders/other"})
    made = plan(Snapshot(new, INPUTS, stages()))
    assert kinds(made) == ["PulsarBridge"]
    assert states(made)["Ready"] == ("Unknown", "Progressing")


def test_the_bottleneck_is_where_most_waits() -> None:
    numbers = stages(
        ingest={"backlog": 10, "deadLetters": 3}, process={"backlog": 40}, results={"backlog": 0, "deadLetters": 2}
    )
    made = plan(Snapshot(body("HybridPipeline"), INPUTS, numbers))
    assert [made.status[name] for name in ("backlog", "bottleneck", "deadLetters")] == [50, "process", 3]
    idle = stages(ingest={"backlog": 0}, process={"backlog": 0}, results={"backlog": 0})
    assert "bottleneck" not in plan(Snapshot(body("HybridPipeline"), INPUTS, idle)).status


def test_a_foreign_child_name_stalls_the_pipeline() -> None:
    children = stages()
    del children[PROCESS]["metadata"]["ownerReferences"]
    made = plan(Snapshot(body("HybridPipeline"), INPUTS, children))
    assert states(made)["Ready"] == ("False", "NameConflict")
    assert states(made)["Stalled"][0] == "True"


def test_a_suspended_pipeline_is_ready_when_its_stages_are() -> None:
    children = live(body("HybridPipeline", suspend=True))
    for reference, child in stages().items():
        children[reference]["status"] = child["status"]
    made = plan(Snapshot(body("HybridPipeline", suspend=True), INPUTS, children))
    assert states(made)["Ready"] == ("True", "Suspended")
    assert states(made)["Available"] == ("False", "Suspended")
