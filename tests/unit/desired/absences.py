"""Situations in which nobody works, as far as an alert can see."""

from tests.unit.desired.alert_subjects import (
    BACKLOG,
    EVENTS,
    INGEST_UP,
    PRICING_UP,
    QUEUE,
    RECEIVED,
    broker,
    case,
    own,
    quiet,
    reported,
    up,
)

BEAT_OF_A = own("headrace_worker_beat_active", "pricing", pod="a")

ABSENCES = [
    case(
        "HeadraceBridgeDisconnected",
        "ingest",
        "no pod reaches Valkey",
        {
            own("headrace_bridge_connected", "ingest", pod="a", side="valkey"): "0x80",
            own("headrace_bridge_connected", "ingest", pod="b", side="valkey"): "0x80",
            own("headrace_bridge_connected", "ingest", pod="a", side="pulsar"): "1x80",
        },
    ),
    quiet(
        "HeadraceBridgeDisconnected",
        "ingest",
        "one pod of two is enough",
        {
            own("headrace_bridge_connected", "ingest", pod="a", side="valkey"): "0x80",
            own("headrace_bridge_connected", "ingest", pod="b", side="valkey"): "1x80",
        },
    ),
    quiet(
        "HeadraceBridgeDisconnected",
        "ingest",
        "a broker that restarts",
        {own("headrace_bridge_connected", "ingest", side="pulsar"): "1x4 0x8 1x80"},
    ),
    case(
        "HeadraceBridgeReplayStuck",
        "again",
        "it deals with nothing",
        {
            own("headrace_bridge_replay_running", "again", pod="a"): "1x80",
            own("headrace_bridge_replay_running", "again", pod="b"): "0x80",
            own("headrace_bridge_replayed_total", "again", pod="a", status="replayed"): "7x80",
        },
        at="11m",
    ),
    quiet(
        "HeadraceBridgeReplayStuck",
        "again",
        "it skips messages",
        {
            own("headrace_bridge_replay_running", "again"): "1x80",
            own(
                "headrace_bridge_replayed_total", "again", status="skipped"
            ): "0x3 1x3 2x3 3x3 4x3 5x3 6x3 7x3 8x3 9x3 9x40",
        },
        at="11m",
    ),
    quiet(
        "HeadraceBridgeReplayStuck",
        "again",
        "none runs",
        {own("headrace_bridge_replay_running", "again"): "0x80"},
        at="11m",
    ),
    case("HeadracePodsDown", "ingest", "there is no pod", {"anything": "1x80"}),
    case("HeadracePodsDown", "pricing", "pods that do not answer", {up("pricing", "worker"): "0x80"}),
    quiet("HeadracePodsDown", "ingest", "one pod of two answers", {**INGEST_UP, up("ingest", "bridge") + "": "1x80"}),
    quiet("HeadracePodsDown", "pricing", "a rollout", {up("pricing", "worker"): "1x4 0x8 1x80"}),
    case(
        "PulsarNoConsumers",
        "ingest",
        "by the operator",
        {BACKLOG: "1x80", reported("headrace_resource_consumers", "PulsarBridge", "ingest"): "0x80", **INGEST_UP},
    ),
    case(
        "PulsarNoConsumers",
        "ingest",
        "by the broker",
        {
            broker("pulsar_subscription_back_log", f"{EVENTS}-partition-0"): "1x80",
            broker("pulsar_subscription_consumers_count", f"{EVENTS}-partition-0"): "0x80",
            **INGEST_UP,
        },
    ),
    quiet(
        "PulsarNoConsumers",
        "ingest",
        "one consumer",
        {BACKLOG: "1x80", broker("pulsar_subscription_consumers_count", EVENTS): "1x80", **INGEST_UP},
    ),
    quiet(
        "PulsarNoConsumers",
        "ingest",
        "nothing waits",
        {BACKLOG: "0x80", broker("pulsar_subscription_consumers_count", EVENTS): "0x80", **INGEST_UP},
    ),
    quiet(
        "PulsarNoConsumers",
        "ingest",
        "no pod is up: another alert says so",
        {BACKLOG: "1x80", broker("pulsar_subscription_consumers_count", EVENTS): "0x80"},
    ),
    case(
        "HeadraceWorkerNotConsuming",
        "pricing",
        "it has stopped",
        {QUEUE: "3x200", RECEIVED: "0+10x20 200x200", **PRICING_UP},
        at="25m",
    ),
    case("HeadraceWorkerNotConsuming", "pricing", "it never began", {QUEUE: "3x200", **PRICING_UP}, at="25m"),
    quiet(
        "HeadraceWorkerNotConsuming",
        "pricing",
        "slow but alive",
        {QUEUE: "3x200", RECEIVED: "0x20 1x36 2x36 3x36 4x99", **PRICING_UP},
        at="25m",
    ),
    quiet("HeadraceWorkerNotConsuming", "pricing", "nothing to do", {QUEUE: "0x200", **PRICING_UP}, at="25m"),
    quiet("HeadraceWorkerNotConsuming", "pricing", "no pod is up: another alert", {QUEUE: "3x200"}, at="25m"),
    case(
        "HeadraceWorkerBeatInactive",
        "pricing",
        "two pods, none of them active",
        {BEAT_OF_A: "0x80", own("headrace_worker_beat_active", "pricing", pod="b"): "0x80", **PRICING_UP},
    ),
    quiet(
        "HeadraceWorkerBeatInactive",
        "pricing",
        "another pod took over",
        {BEAT_OF_A: "1x20 0x60", own("headrace_worker_beat_active", "pricing", pod="b"): "0x24 1x56", **PRICING_UP},
    ),
    quiet("HeadraceWorkerBeatInactive", "pricing", "no pod is up: another alert", {BEAT_OF_A: "0x80"}),
]
