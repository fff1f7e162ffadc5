"""The ledger must see each way in which a pipeline can be wrong."""

import json

import pytest

from demo.app.ledger import Entry, Ledger, balance


def entries(*ids: str, outcome: tuple[str, str] = ("", ""), since: int = 1_000) -> list[Entry]:
    return [Entry(each, since + 100 * place, outcome) for place, each in enumerate(ids)]


def test_p1_p2_it_balances_when_each_event_has_one_outcome() -> None:
    ledger = balance(
        entries("a", "b", "b", "c"),
        entries("a", "b", outcome=("fair", "on time"), since=2_000),
        entries("c", outcome=("Refused", "cancelled"), since=5_500),
    )
    assert ledger == Ledger(
        sent=4,
        unique=3,
        results=2,
        dead_letters=1,
        lost=[],
        duplicated=[],
        unknown=[],
        seconds=4.5,
        classes={"fair": {"on time": 2}},
        reasons={"Refused": 1},
        refusals=["cancelled"],
    )
    assert ledger.balanced


@pytest.mark.parametrize(
    ("results", "dead_letters", "lost", "duplicated", "unknown"),
    [
        pytest.param(["a"], [], ["b"], [], [], id="lost"),
        pytest.param(["a", "b", "b"], [], [], ["b"], [], id="result twice"),
        pytest.param(["a"], ["b", "b"], [], ["b"], [], id="dead letter twice"),
        pytest.param(["a", "b"], ["b"], [], ["b"], [], id="in both"),
        pytest.param(["a", "b", "x"], [], [], [], ["x"], id="out of nowhere"),
        pytest.param(["a", "a"], [], ["b"], ["a"], [], id="the sums agree, the ids do not"),
        pytest.param([], [], ["a", "b"], [], [], id="nothing came out"),
    ],
)
def test_p1_p2_it_does_not_balance_when_one_event_has_none_or_two(
    results: list[str], dead_letters: list[str], lost: list[str], duplicated: list[str], unknown: list[str]
) -> None:
    ledger = balance(entries("a", "b"), entries(*results), entries(*dead_letters))
    assert (ledger.lost, ledger.duplicated, ledger.unknown) == (lost, duplicated, unknown)
    assert not ledger.balanced
    report = json.loads(ledger.to_json())
    assert report["balanced"] is False
    assert report["examples"] == lost + duplicated + unknown


def test_empty_topics_balance() -> None:
    assert balance([], [], []).balanced
