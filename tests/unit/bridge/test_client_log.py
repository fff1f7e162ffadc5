"""What is read in the Pulsar client's log."""

from pathlib import Path

import pytest

from headrace.bridge import client_log
from headrace.bridge.client_log import ClientLog

TOPIC = "persistent://shop/orders/events-partition-1"


def written(log: ClientLog, *texts: str) -> None:
    lines = [f"2026-11-26 19:00:00.000 ERROR [139] ConsumerImpl:1234 | [{TOPIC}, shop, 3] {text}\n" for text in texts]
    Path(log.path).write_text("".join(lines))


def test_p1_what_the_client_discards_is_known_by_its_place() -> None:
    log = ClientLog()
    discarded = [f"Discarding corrupted message at 10:{entry}" for entry in (2, 1)]
    written(log, *discarded, "Message delivery failed")
    assert sorted(log.discarded("shop", TOPIC)) == [(10, 1), (10, 2)]
    assert list(log.discarded("another", TOPIC)) == []
    assert log.take_discarded("another") == {}
    assert log.take_discarded("shop") == {TOPIC: [(10, 1), (10, 2)]}
    assert log.take_discarded("shop") == {}


def test_of_many_discarded_ones_the_latest_are_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_log, "MOST_DISCARDED", 3)
    log = ClientLog()
    written(log, *(f"Discarding corrupted message at 1:{entry}" for entry in range(5)))
    assert sorted(log.discarded("shop", TOPIC)) == [(1, 2), (1, 3), (1, 4)]
