"""Celery envelopes are valid whatever the payload, and their ids are RFC 4122's."""

import json
import uuid

from hypothesis import given
from hypothesis import strategies as st

from headrace.bridge.envelope import envelopes, task_ids
from headrace.celery.transport.message import payload_of

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(st.text(), children, max_size=3),
    max_leaves=8,
)


@given(st.text(), st.text())
def test_p2_a_message_gives_the_same_task_each_time(topic: str, message_id: str) -> None:
    assert task_ids(topic)(message_id) == str(uuid.uuid5(uuid.NAMESPACE_URL, f"{topic}|{message_id}"))


@given(json_values, st.text(), st.sampled_from((None, 1, "\t")), st.booleans())
def test_the_payload_is_the_only_argument(payload: object, text: str, indent: int | str | None, escaped: bool) -> None:
    identity = str(uuid.uuid4())
    body = json.dumps(payload, indent=indent, ensure_ascii=escaped).encode()
    entry = envelopes("a.b", "q")(identity, body, json.dumps({"headrace": {"key": text}}).encode()[1:-1])
    message = json.loads(entry)
    assert json.loads(message["body"]) == [[payload], {}, {}]
    assert message["headers"]["headrace"] == {"key": text}
    assert (message["headers"]["id"], message["headers"]["task"]) == (identity, "a.b")
    assert payload_of(entry)["headers"] == message["headers"]
