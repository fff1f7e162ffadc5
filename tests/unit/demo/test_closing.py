"""The end of the demo says what the topics hold, in the words that the issue asks for."""

import io

import pytest
from rich.console import Console

from demo.app.ledger import Entry, balance
from demo.closing import Report, show

EVENTS = [Entry("a", 0), Entry("b", 100), Entry("b", 200)]
RESULTS = [Entry("a", 5_100, ("fair", "on time"))]
DEAD_LETTERS = [Entry("b", 6_240, ("Refused", "UA 1 from EWR was cancelled"))]


def shown(report: Report) -> str:
    page = io.StringIO()
    show(Console(file=page, width=100), report)
    return page.getvalue()


def test_the_last_line() -> None:
    report = Report.read("a warning\n" + balance(EVENTS, RESULTS, DEAD_LETTERS).to_json() + "\n")
    assert report.balanced
    assert report.last_line() == "ledger: sent=3 unique=2 results=1 dead_letters=1 lost=0 duplicated=0 seconds=6.2"


def test_reasons_of_dead_letters_are_shown() -> None:
    page = shown(Report.read(balance(EVENTS, RESULTS, DEAD_LETTERS).to_json()))
    assert "dead letters: 1 Refused, such as: UA 1 from EWR was cancelled" in page
    assert "does not balance" not in page


def test_p1_a_lost_event_is_named() -> None:
    page = shown(Report.read(balance(EVENTS, RESULTS, []).to_json()))
    assert "the ledger does not balance: lost=1 duplicated=0 unknown=0, such as b" in page


def test_a_ledger_that_could_not_run_says_why() -> None:
    with pytest.raises(RuntimeError, match="TopicNotFound"):
        Report.read("Traceback\n_pulsar.TopicNotFound: Pulsar error: TopicNotFound\n")
