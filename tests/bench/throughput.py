"""How many messages a second: Headrace's process, the ceilings, and the naive bridges, all on the same servers."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass

from tests.bench.bed import Bed
from tests.bench.payload import Payload
from tests.bench.window import POLL_SECONDS, Sample, watch
from tests.integration.dataplane import wait_for

HEADRACE = "headrace"
OUTWARD = ("list_to_pulsar", "stream_to_pulsar")
INWARD = ("pulsar_to_list", "pulsar_to_celery")
ROWS = (*OUTWARD, *INWARD)
"""The ways a message goes. Ceilings stand in the first row of each direction; the others are held against them too."""
SHARDED = "headrace, 2 shards, {}"
SHARDS = 2
TASK = "bench.task"
RUN_SECONDS = 60.0


@dataclass(frozen=True)
class Place:
    """Where the messages of one payload come from and go to. All contenders share it."""

    payload: Payload
    source_topic: str
    """Holds enough messages for every inward run; each reads it from its beginning, by a subscription of its own."""
    sink_topic: str


@dataclass(frozen=True)
class Contender:
    """Somebody who moves messages."""

    row: str
    """One of `ROWS`."""
    name: str
    measure: Callable[[Bed, Place, int], Sample]
    """Moves that many messages and says how fast."""
    messages: int
    """Of 200 bytes, for a run of some seconds."""


def headrace_outward(kind: str) -> Callable[[Bed, Place, int], Sample]:
    """The bridge drains a list or a stream. A message has arrived when its cut is committed: Pulsar confirmed it."""

    def measure(bed: Bed, place: Place, messages: int) -> Sample:
        fill = bed.source_list if kind == "list" else bed.source_stream
        source, name = fill(place.payload, messages), bed.unique("outward")
        before = bed.published(place.sink_topic)
        flying = f"headrace:{{test/{name}}}:cut"

        def arrived() -> int:
            pipeline = bed.store.pipeline(transaction=True)
            waiting = pipeline.llen(source) if kind == "list" else pipeline.xinfo_groups(source)
            left, in_flight = waiting.llen(flying).execute()
            return messages - int(in_flight) - int(left if kind == "list" else left[0]["lag"])

        from_stream = {"key": source, "payloadField": "payload"}
        ends = (
            {"valkey": {kind: {"key": source} if kind == "list" else from_stream}},
            {"pulsar": {"topic": place.sink_topic}},
        )
        with bed.bridge(name, *ends) as bridge:
            if kind == "stream":
                wait_for(lambda: bed.store.xinfo_groups(source), "the bridge has its group")
            sample = watch(arrived, messages, bridge.process.pid, seconds=RUN_SECONDS)
        _check(bed.published(place.sink_topic) - before, messages)
        return sample

    return measure


def headrace_sharded(processes: int) -> Callable[[Bed, Place, int], Sample]:
    """So many processes drain a list in two shards, each its share; they are there before the messages."""

    def measure(bed: Bed, place: Place, messages: int) -> Sample:
        name = bed.unique("sharded")
        sources = [f"{name}:{shard}" for shard in range(SHARDS)]
        filled = [bed.source_list(place.payload, messages // SHARDS) for _ in sources]
        flying = [f"headrace:{{test/{name}}}:shard-{shard}:cut" for shard in range(SHARDS)]
        before = bed.published(place.sink_topic)
        ends = {"valkey": {"list": {"key": name, "shards": SHARDS}}}, {"pulsar": {"topic": place.sink_topic}}

        def arrived() -> int:
            pipeline = bed.store.pipeline(transaction=True)
            for key in (*sources, *flying):
                pipeline.llen(key)
            return messages - int(sum(pipeline.execute()))

        with ExitStack() as stack:
            bridges = [stack.enter_context(bed.bridge(name, *ends)) for _ in range(processes)]
            share = f"{processes} replicas live: {SHARDS // processes} of {SHARDS}"
            wait_for(lambda: all(share in bridge.log() for bridge in bridges), "each process has its share")
            for bridge in bridges:
                bridge.wait_until_ready()
            # at once, as if they had been waiting
            pipeline = bed.store.pipeline(transaction=True)
            for made, source in zip(filled, sources, strict=True):
                pipeline.rename(made, source)
            pipeline.execute()
            sample = watch(arrived, messages, *(bridge.process.pid for bridge in bridges), seconds=RUN_SECONDS)
        _check(bed.published(place.sink_topic) - before, messages)
        return sample

    return measure


def child_outward(function: str, **options: int) -> Callable[[Bed, Place, int], Sample]:
    """A contender that times itself, see `tests.bench.contender`; it is looked at as often as Headrace is."""

    def measure(bed: Bed, place: Place, messages: int) -> Sample:
        source = bed.source_list(place.payload, messages)
        before = bed.published(place.sink_topic)
        run = {
            "valkey_url": bed.valkey.url,
            "service_url": bed.pulsar.service_url,
            "source": source,
            "topic": place.sink_topic,
            "messages": messages,
            **options,
        }
        deadline = time.monotonic() + RUN_SECONDS
        with bed.child("tests.bench.contender", function, run) as child:
            while child.poll() is None and time.monotonic() < deadline:
                bed.store.llen(source)
                time.sleep(POLL_SECONDS)
            assert child.poll() == 0, f"{function} did not move {messages} messages"
            assert child.stdout is not None
            line = json.loads(child.stdout.read())
        _check(bed.published(place.sink_topic) - before, messages)
        return Sample(line["messages"] / line["seconds"], line["cpu"] / line["messages"] * 1e6)

    return measure


def headrace_inward(kind: str) -> Callable[[Bed, Place, int], Sample]:
    """The bridge drains a topic into a list (*kind* ``list``) or makes Celery tasks of it (``celery``)."""

    def measure(bed: Bed, place: Place, messages: int) -> Sample:
        name, target = bed.unique("inward"), bed.unique("target")
        sinks = {"list": {"list": {"key": target}}, "celery": {"celery": {"task": TASK, "queue": target}}}
        ends = {"pulsar": {"topic": place.source_topic, "subscription": name}}, {"valkey": sinks[kind]}
        with bed.bridge(name, *ends) as bridge:
            sample = watch(lambda: _length(bed, target), messages, bridge.process.pid, seconds=RUN_SECONDS)
            _check_order(bed, place.payload, target, messages, whole=kind == "list")
        bed.unsubscribe(place.source_topic, name)
        return sample

    return measure


def child_inward(function: str, **options: int) -> Callable[[Bed, Place, int], Sample]:
    """A contender that fills a list until it is ended, see `tests.bench.contender`."""

    def measure(bed: Bed, place: Place, messages: int) -> Sample:
        name, target = bed.unique("inward"), bed.unique("target")
        run = {
            "valkey_url": bed.valkey.url,
            "service_url": bed.pulsar.service_url,
            "topic": place.source_topic,
            "subscription": name,
            "target": target,
            **options,
        }
        with bed.child("tests.bench.contender", function, run) as child:
            sample = watch(lambda: _length(bed, target), messages, child.pid, seconds=RUN_SECONDS)
            _check_order(bed, place.payload, target, messages, whole=True)
        bed.unsubscribe(place.source_topic, name)
        return sample

    return measure


def contenders(cuts: tuple[int, ...]) -> list[Contender]:
    """Everybody, with ceilings at these sizes of cut."""
    out, into = "list_to_pulsar", "pulsar_to_list"
    found = [
        Contender(out, HEADRACE, headrace_outward("list"), 160_000),
        Contender(out, SHARDED.format("1 process"), headrace_sharded(1), 160_000),
        Contender(out, SHARDED.format("2 processes"), headrace_sharded(2), 160_000),
        Contender("stream_to_pulsar", HEADRACE, headrace_outward("stream"), 120_000),
        Contender(out, "naive: a callback each", child_outward("outward_callbacks"), 40_000),
        Contender(out, "naive: send()", child_outward("outward_send"), 500),
        Contender(into, HEADRACE, headrace_inward("list"), 400_000),
        Contender(into, "naive: one by one", child_inward("inward_single"), 12_000),
        Contender("pulsar_to_celery", HEADRACE, headrace_inward("celery"), 200_000),
    ]
    for cut in cuts:
        for in_flight in (1, 2):
            measure = child_outward("outward_cuts", cut=cut, in_flight=in_flight)
            found.append(Contender(out, ceiling_out(cut, in_flight), measure, 160_000))
        found.append(Contender(into, ceiling_in(cut), child_inward("inward_batches", batch=cut), 400_000))
    return sorted(found, key=lambda contender: contender.row)


def ceiling_out(cut: int, in_flight: int) -> str:
    """The name of an outward ceiling."""
    return f"ceiling: cuts of {cut}, {in_flight} in flight"


def ceiling_in(batch: int) -> str:
    """The name of an inward ceiling."""
    return f"ceiling: batches of {batch}"


def _length(bed: Bed, key: str) -> int:
    return int(bed.store.llen(key))


def _check(found: int, expected: int) -> None:
    assert found == expected, f"{found} messages arrived, not {expected}"


def _check_order(bed: Bed, payload: Payload, target: str, messages: int, *, whole: bool) -> None:
    """The list holds message after message: the first one lies at its right end, number n lies n from there."""
    if whole:
        for number in (0, messages // 2, messages - 1):
            found = bed.store.lindex(target, -1 - number)
            assert found.encode() == payload.message(number), f"message {number} is not where it belongs"
