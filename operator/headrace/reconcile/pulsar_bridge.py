"""The plan of a PulsarBridge. Pure and total."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from headrace.api.pulsar_bridge import PulsarBridge
from headrace.api.resource import InvalidResourceError, parse
from headrace.api.status import ConditionType
from headrace.pulsar.facts import PulsarFacts
from headrace.pulsar.plan import CreateSubscription, PulsarPlan, plan_pulsar
from headrace.pulsar.wanted import Wanted, wanted
from headrace.reconcile.children import plan_children
from headrace.reconcile.circle import circle_findings
from headrace.reconcile.conditions import Finding
from headrace.reconcile.desires import desired_children
from headrace.reconcile.limits import limit_findings
from headrace.reconcile.outcome import Outcome, conclude, first_sight, status_of, unparsable
from headrace.reconcile.plan import Event, Plan
from headrace.reconcile.replay import replay_events, replay_findings, replay_status
from headrace.reconcile.sharing import sharing_findings
from headrace.reconcile.snapshot import Snapshot
from headrace.reconcile.valkey_safety import safety_findings
from headrace.reconcile.verdicts import NameConflictError
from headrace.reconcile.workload_outcome import (
    blocking,
    connection_findings,
    findings_of,
    hold_for_secrets,
    workload_fields,
    workload_findings,
)

_TOPICS = ConditionType.TOPICS_READY
_SUBSCRIPTIONS = ConditionType.SUBSCRIPTIONS_READY
_REQUIRED = (
    ConditionType.CONNECTIONS_READY,
    _TOPICS,
    _SUBSCRIPTIONS,
    ConditionType.DESTINATION_READY,
    ConditionType.WORKLOAD_READY,
)


def plan_pulsar_bridge(snapshot: Snapshot, now: datetime) -> Plan:
    """What to do for the bridge in *snapshot*."""
    try:
        bridge = parse(PulsarBridge, snapshot.body)
        desired = desired_children(bridge, snapshot.inputs)
    except InvalidResourceError as error:
        return unparsable(snapshot, error, now)
    if not status_of(snapshot.body):
        return first_sight(snapshot, now)
    needs = wanted(bridge)
    seen = _seen_subscriptions(snapshot)
    broker = plan_pulsar(needs, snapshot.pulsar, snapshot.departed, seen) if snapshot.pulsar else None
    problems = (*snapshot.problems, *(broker.problems if broker else ()))
    # A bridge must not start before its topics and subscriptions stand: messages published meanwhile would pass it
    # by. One that runs goes on, whatever the broker says.
    ready_to_start = broker is not None and not broker.actions and not blocking(problems)
    children = plan_children(
        snapshot,
        desired,
        hold=hold_for_secrets(snapshot),
        hold_new=() if ready_to_start else ("Deployment",),
    )
    problems = (*problems, *children.problems)
    plan = Plan(
        status={},
        apply=children.apply,
        delete=children.delete,
        # Two resources that fight for one name must not fight for topics too.
        pulsar=broker.actions if broker and not _name_taken(children.problems) else (),
        events=(*_broker_events(broker), *children.events, *replay_events(bridge, snapshot)),
        problems=problems,
    )
    findings = [
        *connection_findings(problems, "Valkey and Pulsar answer"),
        *safety_findings(snapshot.numbers.valkey, celery=False),
        *circle_findings(snapshot.circle),
        *sharing_findings(snapshot.sharers),
        *_broker_findings(broker, problems),
        *limit_findings(bridge, snapshot.numbers),
        *workload_findings(bridge, snapshot, problems, children.apply),
        *replay_findings(bridge, snapshot),
    ]
    fields = _fields(bridge, needs, snapshot)
    return conclude(snapshot, Outcome(findings, _REQUIRED, "The bridge runs", bridge.spec.suspend, fields), plan, now)


def _name_taken(problems: Sequence[Exception]) -> bool:
    return any(isinstance(problem, NameConflictError) for problem in problems)


def _broker_findings(broker: PulsarPlan | None, problems: Sequence[Exception]) -> list[Finding]:
    """TopicsReady and SubscriptionsReady."""
    if broker is None:
        text = "Not known: Pulsar could not be asked"
        return [Finding.unknown(_TOPICS, text), Finding.unknown(_SUBSCRIPTIONS, text)]
    found = {finding.type: finding for finding in findings_of(problems, _TOPICS, _SUBSCRIPTIONS)}
    subscriptions = [action for action in broker.actions if isinstance(action, CreateSubscription)]
    topics = [action for action in broker.actions if not isinstance(action, CreateSubscription)]
    for kind, open_actions, done in (
        (_TOPICS, topics, "Namespaces, topics and policies are as declared"),
        (_SUBSCRIPTIONS, subscriptions or topics, "Subscriptions exist"),
    ):
        if kind not in found and open_actions:
            found[kind] = Finding.unknown(kind, f"About to {open_actions[0]}")
        elif kind not in found:
            found[kind] = Finding.good(kind, done)
    if _TOPICS in found and found[_TOPICS].stalled and not subscriptions:
        found[_SUBSCRIPTIONS] = Finding.unknown(_SUBSCRIPTIONS, "Waits for the topics")
    return list(found.values())


def _broker_events(broker: PulsarPlan | None) -> list[Event]:
    if broker is None or not broker.actions:
        return []
    again = [action for action in broker.actions if isinstance(action, CreateSubscription) and action.again]
    others = [action for action in broker.actions if action not in again]
    done = "; ".join(str(action) for action in others if not str(action).startswith("set property"))
    events = [Event("Warning", "SubscriptionGone", f"Pulsar: {action}: nothing is passed over") for action in again]
    return [*events, *([Event("Normal", "PulsarChanged", f"Pulsar: {done}")] if done else [])]


def _fields(bridge: PulsarBridge, needs: Wanted, snapshot: Snapshot) -> dict[str, Any]:
    return {
        **workload_fields(bridge, snapshot),
        "direction": "PulsarToValkey" if bridge.spec.source.pulsar else "ValkeyToPulsar",
        "inFlight": snapshot.numbers.in_flight,
        "consumers": snapshot.numbers.consumers,
        "replay": replay_status(bridge, snapshot),
        "topics": _topics(needs, snapshot.pulsar, snapshot) or None,
        "subscriptions": _subscriptions(needs, snapshot) or None,
    }


def _seen_subscriptions(snapshot: Snapshot) -> frozenset[tuple[str, str]]:
    """Topic and name of the subscriptions that the status remembers."""
    known = status_of(snapshot.body).get("subscriptions")
    rows = known if isinstance(known, list) else []
    pairs = [(row.get("topic"), row.get("name")) for row in rows if isinstance(row, dict)]
    return frozenset((topic, name) for topic, name in pairs if isinstance(topic, str) and isinstance(name, str))


def _subscriptions(needs: Wanted, snapshot: Snapshot) -> list[Any]:
    """Wanted subscriptions that stand, or stood before."""
    topics = snapshot.pulsar.topics if snapshot.pulsar else {}
    standing = {(name, each) for name, topic in topics.items() for each in topic.subscriptions}
    found = standing | _seen_subscriptions(snapshot)
    pairs = sorted({(each.topic, each.name) for each in needs.subscriptions} & found)
    return [{"topic": topic, "name": name} for topic, name in pairs]


def _topics(needs: Wanted, facts: PulsarFacts | None, snapshot: Snapshot) -> list[Any]:
    """Wanted topics that exist, and former ones that still carry a policy of ours: the status remembers them."""
    if facts is None:
        known = status_of(snapshot.body).get("topics")
        return known if isinstance(known, list) else []
    names = {topic.name for topic in needs.topics}
    return [
        {
            "name": name,
            "partitions": topic.partitions,
            "ownership": "Created" if topic.owner == needs.owner else "Existing",
        }
        for name, topic in sorted(facts.topics.items())
        if topic.exists and (name in names or needs.owner in topic.policy_owners.values())
    ]
