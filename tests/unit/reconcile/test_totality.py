"""Every body gives a plan whose status keeps Flux's rules, whatever the API server has stored."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from headrace.pulsar.errors import (
    AuthenticationFailedError,
    DeduplicationDisabledError,
    NamespaceNotFoundError,
    PartitionDecreaseError,
    PulsarUnreachableError,
    SubscriptionConflictError,
    TopicConflictError,
)
from headrace.reconcile.outcome import with_failures
from headrace.reconcile.passes import PLANNERS
from headrace.reconcile.snapshot import Snapshot
from headrace.reconcile.verdicts import (
    VERDICTS,
    KubernetesRefusedError,
    NameConflictError,
    OutdatedError,
    PredecessorLeavingError,
    SecretNotFoundError,
    ValkeyAuthenticationFailedError,
    ValkeyUnreachableError,
    verdict,
)
from tests.unit.reconcile.bodies import INPUTS, NOW, body, live, plan, pulsar_as_wanted
from tests.unit.reconcile.flux_checker import violations

_JSON = some.recursive(
    some.none() | some.booleans() | some.integers() | some.floats(allow_nan=False) | some.text(max_size=8),
    lambda inner: some.lists(inner, max_size=3) | some.dictionaries(some.text(max_size=8), inner, max_size=3),
    max_leaves=12,
)
_FIELDS = some.sampled_from(
    ["spec", "status", "source", "sink", "pulsar", "valkey", "celery", "topics", "namespaces", "pod", "alerts"]
)
_PROBLEMS = [
    error("so it is")
    for error in (
        AuthenticationFailedError,
        DeduplicationDisabledError,
        KubernetesRefusedError,
        NameConflictError,
        NamespaceNotFoundError,
        OutdatedError,
        PartitionDecreaseError,
        PredecessorLeavingError,
        PulsarUnreachableError,
        SecretNotFoundError,
        SubscriptionConflictError,
        TopicConflictError,
        ValkeyAuthenticationFailedError,
        ValkeyUnreachableError,
    )
]


@pytest.mark.parametrize("kind", PLANNERS)
@settings(max_examples=150)
@given(data=some.data())
def test_p7_any_dictionary_gives_a_plan(kind: str, data: Any) -> None:
    any_body = data.draw(some.dictionaries(_FIELDS | some.text(max_size=8), _JSON, max_size=5))
    any_body["status"] = data.draw(_JSON)
    made = PLANNERS[kind](Snapshot(any_body, INPUTS), NOW)
    assert violations(made.status, made.status["observedGeneration"]) == []


@pytest.mark.parametrize("kind", PLANNERS)
@settings(max_examples=150)
@given(data=some.data())
def test_p7_a_good_body_with_one_broken_field_gives_a_plan(kind: str, data: Any) -> None:
    broken = body(kind)
    place = broken["spec"]
    while isinstance(place, dict) and place and data.draw(some.booleans()):
        field = data.draw(some.sampled_from(sorted(place)))
        if not isinstance(place[field], dict) or data.draw(some.booleans()):
            place[field] = data.draw(_JSON)
            break
        place = place[field]
    plan(Snapshot(broken, INPUTS, pulsar=pulsar_as_wanted() if kind == "PulsarBridge" else None))


@pytest.mark.parametrize("kind", PLANNERS)
@settings(max_examples=150)
@given(
    problems=some.lists(some.sampled_from(_PROBLEMS), max_size=4, unique=True),
    failures=some.lists(some.sampled_from(_PROBLEMS), max_size=2, unique=True),
    standing=some.booleans(),
    suspended=some.booleans(),
)
def test_every_mix_of_problems_keeps_the_rules_of_conditions(
    kind: str, problems: list[Exception], failures: list[Exception], standing: bool, suspended: bool
) -> None:
    made = body(kind, suspend=suspended)
    children = live(made) if standing else {}
    facts = pulsar_as_wanted() if kind == "PulsarBridge" else None
    snapshot = Snapshot(made, INPUTS, children, pulsar=facts, problems=tuple(problems))
    first = plan(snapshot)
    if failures:
        assert violations(with_failures(first, snapshot, failures, NOW).status, 1) == []


def test_every_error_has_a_verdict_with_a_documented_reason() -> None:
    for problem in _PROBLEMS:
        assert verdict(problem) is VERDICTS[type(problem)]
    with pytest.raises(TypeError, match="no verdict"):
        verdict(KeyError("x"))


def test_a_pipeline_that_adds_up_to_a_refused_child_is_stalled() -> None:
    topic = "persistent://shop/orders/" + "e" * 480
    made = plan(Snapshot(body("HybridPipeline", ingest={"topic": topic, "subscription": "s" * 100}), INPUTS))
    assert made.status["conditions"][0]["reason"] == "InvalidSpec"
