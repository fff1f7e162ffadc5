"""What `replay.match` may ask: a name that no letter has is told when the resource is written."""

import re
from typing import Any

import pytest
from pydantic import ValidationError

from headrace.api.replay import Replay
from headrace.bridge.letter import Letter
from headrace.bridge.matching import Matcher

TOPIC = "persistent://shop/orders/events"


@pytest.mark.parametrize(
    ("match", "told"),
    [
        ("reason == TaskFailed", "no letter has TaskFailed: write 'TaskFailed' in single quotes"),
        ('reason == "TaskFailed"', "no letter has TaskFailed"),
        ("contains(error, slow)", "no letter has slow"),
        ("dryRun == true", "no letter has dryRun"),
        ("payload.paid == true", "write `true` in backticks"),
        ("[reason, tenant][1] == 'x'", "no letter has tenant"),
        ("@ | Reason == 'x'", "no letter has Reason"),
        ("reason.text == 'x'", "reason has no parts, so no text"),
        ("properties.order.id == 'x'", 'a property whose name has a dot reads properties."order.id"'),
        ("attempts > '3'", "attempts is a number"),
        ("'3' < attempts", "write it in backticks, such as `5`"),
        ("reason == `5`", "reason is a text"),
        ("properties.n == `5`", "properties.n is a text"),
    ],
)
def test_p8_a_match_that_never_chooses_what_it_seems_to_is_refused(match: str, told: str) -> None:
    with pytest.raises(ValidationError, match=re.escape(told)):
        Replay.model_validate({"id": "a", "from": "DeadLetter", "match": match})


@pytest.mark.parametrize(
    "match",
    [
        "reason == 'TaskFailed' && attempts < `5`",
        "payload == null || attempts == null",
        "payload.items[?qty > `0`].id | [0] == 'x'",
        "payload.*.total | [0]",
        "sort_by(payload.items, &price)[0].id",
        "payload.order.id == `1` || payload.order.id == '1'",
        """properties."order.id" == 'x'""",
        "length(keys(@)) == `9`",
        "payload | id",
    ],
)
def test_a_match_that_may_choose_something_is_taken(match: str) -> None:
    assert Replay.model_validate({"id": "a", "from": "DeadLetter", "match": match}).match == match


def letter(reason: str, **properties: str) -> Letter:
    return Letter("7:8:-1", b'{"id": 1}', None, {"HEADRACE_REASON": reason, **properties}, 0, 1)


def looked(match: str, *letters: Letter, noted: str = "") -> tuple[Matcher, str]:
    matcher = Matcher(match, noted)
    return matcher, matcher.complaint(sum(matcher(each, TOPIC) for each in letters), len(letters))


@pytest.mark.parametrize(
    ("match", "told"),
    [
        ("properties.tenat == 'x'", "match asks for properties.tenat, which none of the 2 messages has"),
        ("payload.order.id == `1`", "match asks for payload.order.id"),
        ("reason == 'Taskfailed'", "match chose none of the 2 messages, whose reasons are TaskFailed, Refused"),
        ("reason == 'TaskFailed' || payload.x", "match asks for payload.x"),
        ("reason == 'TaskFailed'", ""),
        ("properties.tenant == 'x'", ""),
    ],
)
def test_p8_a_run_tells_what_match_asked_for_in_vain(match: str, told: Any) -> None:
    _, complaint = looked(match, letter("TaskFailed", tenant="x"), letter("Refused"))
    assert complaint.startswith(told) if told else not complaint


def test_p8_what_an_earlier_process_saw_counts() -> None:
    before, complaint = looked("properties.tenant == 'y'", letter("Refused", tenant="x"))
    assert complaint == "match chose none of the 1 messages, whose reasons are Refused"
    after, _ = looked("properties.tenant == 'y'", letter("Other"), noted=before.noted)
    assert after.complaint(0, 2) == "match chose none of the 2 messages, whose reasons are Refused, Other"
    assert Matcher("properties.tenant == 'y'").complaint(0, 0) == ""
