"""What a call to publish refuses before it asks Valkey, and what importing it costs."""

import subprocess
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from headrace.bridge import hybrid_publish

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
    ],
)
def test_p7_what_pulsar_could_not_carry_is_refused_at_once(payload: Any, changes: dict[str, Any], error: type) -> None:
    class Unused:
        def register_script(self, script: Any) -> Any:
            raise AssertionError("Valkey was asked")

    with pytest.raises(error):
        hybrid_publish(Unused(), payload, **{"channel": "news", "outbox": "news:outbox", **changes})


def test_a_program_that_publishes_loads_no_broker_library() -> None:
    program = (
        "import sys; from headrace.bridge import hybrid_publish;"
        "print({'pulsar', '_pulsar', 'valkey', 'redis', 'pydantic', 'orjson'} & set(sys.modules))"
    )
    answer = subprocess.run(
        [sys.executable, "-c", program], env={"PYTHONPATH": str(OPERATOR)}, capture_output=True, text=True, check=True
    )
    assert answer.stdout.strip() == "set()"
