"""Reads the three topics back from their first message and balances them: what came in, and what became of it.

Runs as a Job inside the cluster. It trusts no counter of Headrace's: it looks at the messages themselves.
"""

import argparse
import json
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import pulsar

READ_TIMEOUT_MILLISECONDS = 30_000
EXAMPLES = 5


@dataclass(frozen=True, slots=True)
class Entry:
    """One message of a topic, as far as the ledger cares: a year of flights must fit into memory."""

    event_id: str
    published_milliseconds: int
    outcome: tuple[str, str] = ("", "")
    """Of a result: weather and delay. Of a dead letter: reason and error."""


@dataclass(frozen=True)
class Ledger:
    """It balances when every event that came in has exactly one result or exactly one dead letter."""

    sent: int
    unique: int
    results: int
    dead_letters: int
    lost: list[str]
    """Events without an outcome."""
    duplicated: list[str]
    """Events with more than one outcome."""
    unknown: list[str]
    """Outcomes of no event."""
    seconds: float
    """From the first event's publication to the last outcome's, by the broker's clock."""
    classes: dict[str, dict[str, int]]
    """Results by weather and delay."""
    reasons: dict[str, int]
    """Dead letters by reason."""
    refusals: list[str]
    """The errors of the first dead letters."""

    @property
    def balanced(self) -> bool:
        """Nothing lost, nothing twice, nothing out of nowhere."""
        return self.unique == self.results + self.dead_letters and not (self.lost or self.duplicated or self.unknown)

    def to_json(self) -> str:
        """One line for the demo: counts, and a few ids where there is something to look for."""
        counts = {
            "sent": self.sent,
            "unique": self.unique,
            "results": self.results,
            "dead_letters": self.dead_letters,
            "lost": len(self.lost),
            "duplicated": len(self.duplicated),
            "unknown": len(self.unknown),
        }
        return json.dumps(
            counts
            | {
                "balanced": self.balanced,
                "seconds": round(self.seconds, 1),
                "examples": (self.lost[:EXAMPLES] + self.duplicated[:EXAMPLES] + self.unknown[:EXAMPLES]),
                "classes": self.classes,
                "reasons": self.reasons,
                "refusals": self.refusals,
            }
        )


def balance(events: Iterable[Entry], results: Iterable[Entry], dead_letters: Iterable[Entry]) -> Ledger:
    """Compare the three topics by event id."""
    came_in, classified, refused = list(events), list(results), list(dead_letters)
    unique = dict.fromkeys(entry.event_id for entry in came_in)
    outcomes = Counter(entry.event_id for entry in classified + refused)
    classes: dict[str, dict[str, int]] = {}
    for (weather, delay), count in Counter(entry.outcome for entry in classified).items():
        classes.setdefault(weather, {})[delay] = count
    first = min((entry.published_milliseconds for entry in came_in), default=0)
    last = max((entry.published_milliseconds for entry in classified + refused), default=first)
    return Ledger(
        sent=len(came_in),
        unique=len(unique),
        results=len(classified),
        dead_letters=len(refused),
        lost=[each for each in unique if each not in outcomes],
        duplicated=[each for each, count in outcomes.items() if count > 1],
        unknown=[each for each in outcomes if each not in unique],
        seconds=(last - first) / 1000,
        classes=classes,
        reasons=dict(Counter(entry.outcome[0] for entry in refused)),
        refusals=[entry.outcome[1] for entry in refused[:EXAMPLES]],
    )


def read(client: Any, topic: str) -> Iterator[Entry]:
    """Yield the whole of a topic, from the first message to the last one there is."""
    reader = client.create_reader(topic, pulsar.MessageId.earliest)
    while reader.has_message_available():
        yield entry(reader.read_next(timeout_millis=READ_TIMEOUT_MILLISECONDS))
    reader.close()


def entry(message: Any) -> Entry:
    """Read one message of any of the three topics."""
    payload, properties = json.loads(message.data()), message.properties()
    if "HEADRACE_REASON" in properties:
        outcome = properties["HEADRACE_REASON"], properties.get("HEADRACE_ERROR", "")
    else:
        outcome = payload.get("weather", ""), payload.get("delay", "")
    event_id = payload.get("event_id", f"message without an id: {message.message_id()}")
    return Entry(event_id, message.publish_timestamp(), outcome)


def main(arguments: list[str]) -> int:
    """Print the ledger as JSON; return 1 when it does not balance."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--service-url", required=True)
    parser.add_argument("--events", required=True, help="the topic that events came in by")
    parser.add_argument("--results", required=True, help="the topic of results")
    parser.add_argument("--dead-letters", required=True, help="the dead-letter topic")
    options = parser.parse_args(arguments)

    client: Any = pulsar.Client(options.service_url)
    ledger = balance(
        events=read(client, options.events),
        results=read(client, options.results),
        dead_letters=read(client, options.dead_letters),
    )
    client.close()
    print(ledger.to_json(), flush=True)
    return 0 if ledger.balanced else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
