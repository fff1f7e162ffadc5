"""What a call to publish refuses before it asks Valkey, and what importing it costs."""

import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.bridge import hybrid_publish
from headrace.bridge.record import converter
from headrace.bridge.routing import EntryFormat, Routing, Target

DEEP: list[Any] = []
DEEP.append(DEEP)
OPERATOR = Path(__file__).parents[3] / "operator"


@pytest.mark.parametrize(
    ("payload", "changes", "error"),
    [
        (object(), {}, TypeError),
        (float("nan"), {}, ValueError),
        ("\ud800", {}, ValueError),
        (1, {"channel": ""}, ValueError),
        (1, {"outbox": ""}, ValueError),
        (1, {"message_id": ""}, ValueError),
        (1, {"message_id_seconds": 0}, ValueError),
        (1, {"key": 7}, TypeError),
        (1, {"properties": {"a": 1}}, TypeError),
        (1, {"event_time": datetime(2026, 1, 1)}, ValueError),
        (1, {"event_time": datetime(1969, 12, 31, tzinfo=UTC)}, ValueError),
        (1, {"event_time": datetime(1970, 1, 1, tzinfo=UTC)}, ValueError),
        (1, {"event_time": datetime.min.replace(tzinfo=timezone(timedelta(hours=14)))}, ValueError),
        (1, {"event_time": 1_795_219_200_000}, TypeError),
        (1, {"key": ""}, ValueError),
        (1, {"key": "\udfff"}, ValueError),
        (1, {"key": b"k"}, TypeError),
        (1, {"properties": {"a": "\ud800"}}, ValueError),
        (1, {"properties": {"\ud800": "a"}}, ValueError),
        (1, {"properties": {"HEADRACE_CUT": "a"}}, ValueError),
        (1, {"properties": {"VALKEY_STREAM_ID": "a"}}, ValueError),
        (1, {"properties": {"a": "x" * 65_536}}, ValueError),
        (1, {"key": "k" * 40_000, "properties": {"a": "x" * 30_000}}, ValueError),
        (1, {"properties": 7}, TypeError),
        (b"x" * 5 * 1024 * 1024, {}, ValueError),
        (b"x" * (5 * 1024 * 1024 - 1024), {"key": "k"}, ValueError),
        (1, {"channel": b"news"}, TypeError),
        (1, {"outbox": "\ud800"}, ValueError),
        (1, {"message_id": 7}, TypeError),
        ([10**5000], {}, ValueError),
        (DEEP, {}, ValueError),
    ],
)
def test_p7_what_pulsar_could_not_carry_is_refused_at_once(payload: Any, changes: dict[str, Any], error: type) -> None:
    class Unused:
        def register_script(self, script: Any) -> Any:
            raise AssertionError("Valkey was asked")

    with pytest.raises(error):
        hybrid_publish(Unused(), payload, **{"channel": "news", "outbox": "news:outbox", **changes})


class Recorder:
    """Keeps what would be written."""

    record = b""

    def register_script(self, script: Any) -> Any:
        def call(keys: Any, args: Any) -> list[int]:
            self.record = args[0]
            return [1, 0]

        return call


anything = st.one_of(
    st.none(),
    st.text(st.characters()),
    st.binary(),
    st.floats(),
    st.integers(),
    st.dictionaries(st.text(), st.floats()),
)
lengths = st.sampled_from([0, 1, 1000, 16_000, 32_768, 65_535, 65_536, 70_000])
texts = st.one_of(st.text(st.characters()), st.builds(str.__mul__, st.sampled_from(["x", "\U0001f600", "é"]), lengths))
names = st.one_of(texts, st.sampled_from(["HEADRACE_CUT", "VALKEY_CHANNEL", "REAL_TOPIC", "traceparent"]))
times = st.one_of(st.datetimes(timezones=st.timezones()), st.datetimes(timezones=st.just(UTC)), st.datetimes())
sizes = st.builds(
    bytes, st.sampled_from([0, 1, 4096, 65_536, 4 * 1024 * 1024, 5 * 1024 * 1024 - 1024, 5 * 1024 * 1024])
)
T = Target("persistent://a/b/c", 0)


def compact(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


@given(
    st.one_of(anything, sizes),
    st.one_of(st.none(), anything, texts),
    st.one_of(
        st.none(),
        st.dictionaries(names, texts, max_size=3),
        st.dictionaries(st.one_of(st.text(), st.integers(), st.binary()), anything, max_size=2),
    ),
    st.one_of(st.none(), times, anything),
)
def test_p1_whatever_is_accepted_becomes_a_message(payload: Any, key: Any, properties: Any, event_time: Any) -> None:
    client = Recorder()
    try:
        hybrid_publish(client, payload, channel="c", outbox="o", key=key, properties=properties, event_time=event_time)
    except (TypeError, ValueError) as refused:
        assert str(refused).encode()  # noqa: PT017 - any other exception is the failure
        return
    convert = converter(Routing(T, T, EntryFormat.OUTBOX, None, "PulsarBridge/n/b"))
    message = convert(client.record)
    assert (message.reason, message.large, message.key, message.properties) == (None, False, key, properties or {})
    written = payload if isinstance(payload, bytes) else compact(payload)
    assert message.payload == written
    if event_time is not None:
        assert message.event_time == (event_time - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)


def test_a_program_that_publishes_loads_no_broker_library() -> None:
    program = (
        "import sys; from headrace.bridge import hybrid_publish;"
        "print({'pulsar', '_pulsar', 'valkey', 'redis', 'pydantic', 'orjson'} & set(sys.modules))"
    )
    answer = subprocess.run(
        [sys.executable, "-c", program], env={"PYTHONPATH": str(OPERATOR)}, capture_output=True, text=True, check=True
    )
    assert answer.stdout.strip() == "set()"
