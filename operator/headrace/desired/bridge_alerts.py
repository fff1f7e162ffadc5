"""The alerts of a PulsarBridge. Two have the names that Pulsar's own users know: `PulsarBacklogCritical` and
`PulsarConsumerFailures`."""

from headrace.api.bridge_source import PulsarSource
from headrace.api.pulsar_bridge import PulsarBridge
from headrace.desired.alert import Alert
from headrace.desired.backlog import backlog, consumers, own
from headrace.desired.promql import differs, seconds, selector
from headrace.desired.workload import effective_replicas
from headrace.desired.workload_alerts import (
    DOWN_SECONDS,
    backlog_critical,
    backlog_growing,
    dead_letters,
    nobody_up,
    pods_down,
    risen,
)

PUBLISH_FAILED = "failure"
"""The `status` that the bridge counts for a message that Pulsar did not take."""

STUCK_SECONDS = 300
"""A replay that deals with nothing for so long, and goes on like that for as long again, is stuck."""

CIRCUIT_SECONDS = 60
"""How long a circuit breaker may be open before somebody hears of it."""

TASK_REASONS = ("HandlerFailed", "Refused", "TaskFailed", "TaskNotFound", "WorkerLost")
"""Reasons of dead letters that workers write."""


def bridge_alerts(bridge: PulsarBridge) -> tuple[Alert, ...]:
    """All alerts of *bridge*. Those about work that stands still are left out while it is meant to stand still."""
    source = bridge.spec.source.pulsar
    alerts = [
        backlog_critical(bridge, "PulsarBacklogCritical" if source else "HeadraceBridgeBacklogCritical", "messages"),
        dead_letters(bridge, "HeadraceBridgeDeadLetters", _own_dead_letters(bridge), "messages"),
        _consumer_failures(bridge) if source else _publish_failures(bridge),
    ]
    if bridge.spec.source.valkey and bridge.spec.source.valkey.pub_sub:
        alerts.append(_messages_lost(bridge))
    if source:
        alerts.append(_messages_missed(bridge))
    if effective_replicas(bridge):
        alerts += [
            backlog_growing(bridge, "HeadraceBridgeBacklogGrowing", "messages"),
            _disconnected(bridge),
            *([_circuit_open(bridge)] if bridge.spec.circuit_breaker else []),
            pods_down(bridge),
        ]
        if bridge.spec.replay:
            alerts.append(_replay_stuck(bridge))
        if source:
            alerts.append(_no_consumers(bridge, source))
    return tuple(alerts)


def _own_dead_letters(bridge: PulsarBridge) -> str:
    """What the bridge itself gave up; a failed task that an outbox hands on was told by the worker's alert."""
    source = bridge.spec.source.valkey
    passing = [differs("reason", *TASK_REASONS)] if source and source.is_outbox else []
    meta = bridge.metadata
    return selector("headrace_bridge_dead_letters_total", *passing, namespace=meta.namespace, name=meta.name)


def _consumer_failures(bridge: PulsarBridge) -> Alert:
    return _failures(
        bridge,
        name="PulsarConsumerFailures",
        counter=own("pulsar_consumer_failures_total", bridge),
        summary=f"PulsarBridge {_name(bridge)} cannot take what Pulsar delivers",
    )


def _publish_failures(bridge: PulsarBridge) -> Alert:
    meta = bridge.metadata
    counter = selector(
        "headrace_bridge_forwarded_total", namespace=meta.namespace, name=meta.name, status=PUBLISH_FAILED
    )
    return _failures(
        bridge,
        name="HeadraceBridgePublishFailures",
        counter=counter,
        summary=f"PulsarBridge {_name(bridge)} cannot publish to Pulsar",
    )


def _failures(bridge: PulsarBridge, *, name: str, counter: str, summary: str) -> Alert:
    limit = bridge.spec.alerts.failures
    window = seconds(max(60, limit.for_seconds))
    return Alert(
        name=name,
        severity="critical",
        expression=f"sum(rate({counter}[{window}])) > {limit.rate_per_second}",
        for_seconds=limit.for_seconds,
        summary=summary,
        description=f"{{{{ $value | humanize }}}} messages a second fail; the threshold is {limit.rate_per_second}.",
    )


def _disconnected(bridge: PulsarBridge) -> Alert:
    """Pods are up, and none of them has a connection to one of the sides."""
    return Alert(
        name="HeadraceBridgeDisconnected",
        severity="critical",
        expression=f"max by (side) ({own('headrace_bridge_connected', bridge)}) == 0",
        for_seconds=DOWN_SECONDS,
        summary=f"PulsarBridge {_name(bridge)} is cut off from a broker",
        description="No pod of it is connected to {{ $labels.side }}. Nothing is lost; it goes on when that is back.",
    )


def _replay_stuck(bridge: PulsarBridge) -> Alert:
    """A pod says that it runs a replay, and nothing comes of it."""
    running, dealt = own("headrace_bridge_replay_running", bridge), own("headrace_bridge_replayed_total", bridge)
    window = seconds(STUCK_SECONDS)
    return Alert(
        name="HeadraceBridgeReplayStuck",
        severity="warning",
        expression=f"max({running}) == 1 unless sum(increase({dealt}[{window}])) > 0",
        for_seconds=STUCK_SECONDS,
        summary=f"The replay of PulsarBridge {_name(bridge)} stands still",
        description="It runs, and deals with no message. status.replay says what it waits for.",
    )


def _messages_lost(bridge: PulsarBridge) -> Alert:
    """What a channel published did not reach us, or found no room."""
    dropped, gaps = own("headrace_bridge_dropped_total", bridge), own("headrace_bridge_gaps_total", bridge)
    return Alert(
        name="HeadraceBridgeMessagesLost",
        severity="warning",
        expression=f"{risen(dropped)} or {risen(gaps)}",
        for_seconds=0,
        summary=f"PulsarBridge {_name(bridge)} lost messages of its channels",
        description="In ten minutes {{ with $labels.reason }}{{ $value | humanize }} messages were dropped: {{ . }}"
        "{{ else }}nobody was subscribed for a while{{ end }}.",
    )


def _messages_missed(bridge: PulsarBridge) -> Alert:
    """The broker took entries away before the bridge read them, or the client gave them up."""
    return Alert(
        name="HeadraceBridgeMessagesMissed",
        severity="warning",
        expression=risen(own("headrace_bridge_missed_total", bridge)),
        for_seconds=0,
        summary=f"PulsarBridge {_name(bridge)} never read messages of its topics",
        description="In ten minutes {{ $value | humanize }} entries of {{ $labels.topic }} were gone unread:"
        " {{ $labels.reason }}.",
    )


def _circuit_open(bridge: PulsarBridge) -> Alert:
    """Half-open counts too: a destination that stays away is tried again and again."""
    return Alert(
        name="HeadraceBridgeCircuitOpen",
        severity="critical",
        expression=f"max by (destination) ({own('headrace_bridge_breaker_state', bridge)}) > 0",
        for_seconds=CIRCUIT_SECONDS,
        summary=f"A destination of PulsarBridge {_name(bridge)} fails again and again",
        description="{{ $labels.destination }} is left alone and tried now and then. Nothing is lost; messages wait.",
    )


def _no_consumers(bridge: PulsarBridge, source: PulsarSource) -> Alert:
    """Messages wait and nobody is subscribed, although pods are up (else :func:`pods_down` speaks)."""
    return Alert(
        name="PulsarNoConsumers",
        severity="critical",
        expression=f"{backlog(bridge)} > 0 and {consumers(bridge, source)} == 0 unless {nobody_up(bridge)}",
        for_seconds=DOWN_SECONDS,
        summary=f"Nobody consumes the subscription of PulsarBridge {_name(bridge)}",
        description="{{ $value | humanize }} messages wait, and the subscription has no consumer.",
    )


def _name(bridge: PulsarBridge) -> str:
    return f"{bridge.metadata.namespace}/{bridge.metadata.name}"
