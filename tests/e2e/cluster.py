"""The tests' view of the cluster: resources and their conditions, and the toolbox pod."""

import json
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, TypeVar

import yaml

from testbed.environment import Environment

T = TypeVar("T")
Json = dict[str, Any]

PATIENCE_SECONDS = 180.0


def wait_until(look: Callable[[], T], what: str, seconds: float = PATIENCE_SECONDS) -> T:
    """Look until what is seen is true; fail with the last sight."""
    deadline = time.monotonic() + seconds
    while not (seen := look()):
        assert time.monotonic() < deadline, f"not in {seconds:.0f} s: {what}; last seen: {seen!r}"
        time.sleep(0.5)
    return seen


@dataclass(frozen=True)
class Cluster:
    """One namespace of the cluster, with brokers and a toolbox in it."""

    environment: Environment
    namespace: str

    def kubectl(self, *arguments: str, input: str | None = None) -> str:  # noqa: A002 (as in subprocess)
        return self.environment.kubectl("-n", self.namespace, *arguments, input=input)

    def apply(self, *objects: Json) -> None:
        self.kubectl("apply", "-f", "-", input=yaml.safe_dump_all(objects))

    def delete(self, kind: str, name: str) -> None:
        self.kubectl("delete", kind, name, "--ignore-not-found", "--wait=true")

    def get(self, kind: str, name: str) -> Json:
        """One object; empty when it is not there."""
        text = self.kubectl("get", kind, name, "-o", "json", "--ignore-not-found")
        return dict(json.loads(text)) if text.strip() else {}

    def objects(self, kind: str, selector: str = "") -> list[Json]:
        return list(json.loads(self.kubectl("get", kind, "-l", selector, "-o", "json"))["items"])

    def condition(self, kind: str, name: str, of: str) -> Json:
        """One condition; empty when it does not stand."""
        conditions = self.get(kind, name).get("status", {}).get("conditions", [])
        return next((dict(entry) for entry in conditions if entry["type"] == of), {})

    def wait_condition(self, kind: str, name: str, of: str, status: str = "True", reason: str = "") -> Json:
        def look() -> Json:
            seen = self.condition(kind, name, of)
            fits = seen.get("status") == status and reason in ("", seen.get("reason"))
            return seen if fits else {}

        try:
            return wait_until(look, f"{kind}/{name} {of}={status} {reason}")
        except AssertionError as error:
            raise AssertionError(f"{error}\n{json.dumps(self.get(kind, name).get('status'), indent=1)}") from None

    def toolbox(self, *arguments: str, input: str | None = None) -> str:  # noqa: A002 (as in subprocess)
        return self.kubectl("exec", "-i", "toolbox", "--", "python3", "/app/toolbox.py", *arguments, input=input)

    def publish(self, topic: str, payloads: Iterable[Any]) -> None:
        lines = (payload if isinstance(payload, str) else json.dumps(payload) for payload in payloads)
        self.toolbox("publish", topic, input="".join(f"{line}\n" for line in lines))

    def read(self, topic: str) -> list[Json]:
        return [json.loads(line) for line in self.toolbox("read", topic).splitlines()]

    def push(self, key: str, payloads: Iterable[Any]) -> None:
        lines = (payload if isinstance(payload, str) else json.dumps(payload) for payload in payloads)
        self.toolbox("push", key, input="".join(f"{line}\n" for line in lines))

    def valkey(self, *arguments: str) -> Any:
        return json.loads(self.toolbox("valkey", *arguments))
