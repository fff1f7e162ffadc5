"""All contenders in turn, several times: who runs when must not decide who wins."""

from __future__ import annotations

import time
from collections import defaultdict
from dataclasses import dataclass

from testbed.progress import say
from tests.bench.bed import Bed
from tests.bench.figure import Figure
from tests.bench.payload import LARGE, SMALL, Payload
from tests.bench.throughput import HEADRACE, INWARD, Contender, Place, contenders
from tests.bench.window import Sample

FEW = 2000
"""Messages of a small backlog, against which the memory for a large one is compared."""


@dataclass(frozen=True)
class Scale:
    """How much is measured."""

    rounds: int
    cuts: tuple[int, ...]
    """Sizes of cut of the ceilings, in messages."""
    share: float
    """Of each contender's full number of messages."""
    many: int
    """Messages of the large backlog."""
    latency_seconds: int
    """Length of a window of the latency, of which there are as many as rounds."""


@dataclass(frozen=True)
class Outcome:
    """One contender with one payload."""

    row: str
    payload: Payload
    name: str
    messages: int
    rate: Figure
    """Messages a second."""
    cpu: Figure
    """Microseconds of CPU a message."""
    peak: Figure
    """MiB."""


def run(bed: Bed, scale: Scale) -> list[Outcome]:
    """Every contender with every payload, *scale.rounds* times, in turn; each other round the other way round."""
    everybody = contenders(scale.cuts)
    places = {payload: _place(bed, payload, everybody, scale) for payload in (SMALL, LARGE)}
    turns = [(place, contender) for place in places.values() for contender in everybody]
    samples: dict[tuple[str, str, str], list[Sample]] = defaultdict(list)
    _warm_up(bed, places[SMALL], everybody, scale)
    for number in range(scale.rounds):
        for place, contender in turns if number % 2 == 0 else reversed(turns):
            sample = _turn(bed, place, contender, scale, f"round {number + 1}/{scale.rounds}")
            samples[contender.row, place.payload.name, contender.name].append(sample)
    return [
        Outcome(
            contender.row,
            place.payload,
            contender.name,
            messages_of(contender, place.payload, scale),
            Figure.of([sample.rate for sample in found]),
            Figure.of([sample.cpu for sample in found]),
            Figure.of([sample.peak for sample in found]),
        )
        for place, contender in turns
        for found in [samples[contender.row, place.payload.name, contender.name]]
    ]


def memory(bed: Bed, scale: Scale) -> dict[tuple[str, int], Figure]:
    """Peak memory in MiB of the bridge after backlogs of 200-byte messages, by row and size of the backlog."""
    found = {}
    for count in (FEW, scale.many):
        place = Place(SMALL, bed.source_topic(SMALL, count + 10_000), bed.sink_topic(bed.unique("memory")))
        for contender in contenders(()):
            if contender.name == HEADRACE:
                found[contender.row, count] = Figure.of([contender.measure(bed, place, count).peak])
                say(f"{contender.row}: {found[contender.row, count].text('.0f')} MiB after {count} messages")
                bed.settle()
    return found


def messages_of(contender: Contender, payload: Payload, scale: Scale) -> int:
    """How many messages a run has: whole cuts of any size, half as many large ones as small ones."""
    if contender.messages < 4000:
        return contender.messages
    share = scale.share if payload is SMALL else scale.share / 2
    return max(1, round(contender.messages * share / 4000)) * 4000


def _place(bed: Bed, payload: Payload, everybody: list[Contender], scale: Scale) -> Place:
    inward = [each for each in everybody if each.row in INWARD]
    count = max(messages_of(contender, payload, scale) for contender in inward)
    began = time.monotonic()
    # a batch may go beyond the last message that is waited for
    topic = bed.source_topic(payload, count + 10_000)
    say(f"filled a topic with {count} messages of {payload.name} in {time.monotonic() - began:.1f} s")
    return Place(payload, topic, bed.sink_topic(bed.unique("sink")))


def _warm_up(bed: Bed, place: Place, everybody: list[Contender], scale: Scale) -> None:
    """Let the broker's compiler see both directions; nothing of it counts."""
    for row in ("list_to_pulsar", "pulsar_to_list"):
        ceilings = [each for each in everybody if each.row == row and each.name.startswith("ceiling")]
        for _ in range(2):
            _turn(bed, place, ceilings[-1], scale, "warm-up")


def _turn(bed: Bed, place: Place, contender: Contender, scale: Scale, when: str) -> Sample:
    began = time.monotonic()
    sample = contender.measure(bed, place, messages_of(contender, place.payload, scale))
    bed.settle()
    took = time.monotonic() - began
    say(f"{when}  {contender.row}  {place.payload.name}  {contender.name}: {sample.rate:,.0f}/s  ({took:.1f} s)")
    return sample
