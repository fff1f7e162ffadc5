"""A producer and consumer in Java: Pulsar's own client, in a process of its own."""

import base64
import json
import subprocess
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from testbed import debian
from testbed.pulsar import IMAGE_SOURCES, Pulsar
from testbed.pulsar_jars import pulsar_jars

SOURCE = Path(__file__).parent / "java" / "PulsarJava.java"
DEFAULT_SCHEMA = "bytes"


class JavaError(Exception):
    """What the program in Java caught."""


class JavaClient:
    """As `with JavaClient(broker, directory) as java:`; not shared between threads.

    Schemas: `bytes`, `string`, `json` and `avro` of an order, `later-json` and `later-avro` of one with one field more,
    `separated` (Avro) and `inline` (JSON) of a key and an order.
    """

    def __init__(self, broker: Pulsar, directory: Path) -> None:
        debian.require({"javac": "openjdk-17-jdk-headless"})
        self._log = (directory / "java.log").open("wb")
        logs = f"-Dlog4j2.configurationFile={IMAGE_SOURCES / 'log4j2.properties'}"
        command = ["java", "-Xmx256m", "-XX:+UseSerialGC", logs, "-cp", f"{pulsar_jars()}/*"]
        command += [str(SOURCE), broker.service_url]
        self._process = subprocess.Popen(
            command, cwd=directory, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._log
        )

    def produce(
        self,
        topic: str,
        messages: Sequence[dict[str, Any]],
        schema: str = DEFAULT_SCHEMA,
        *,
        batched: bool = True,
        compression: str = "NONE",
    ) -> None:
        """Publish *messages*: value (of bytes in Base64), key or keyBytes, orderingKey, eventTime, properties."""
        options = {"schema": schema, "batched": batched, "compression": compression}
        self._ask({"do": "produce", "topic": topic, "messages": list(messages), **options})

    def consume(self, topic: str, count: int, schema: str = DEFAULT_SCHEMA, subscription: str = "java") -> Any:
        """At most *count* messages; fewer when none comes for 20 s. Raises ``JavaError`` when it cannot subscribe."""
        names = {"topic": topic, "schema": schema, "subscription": subscription}
        return self._ask({"do": "consume", "count": count, **names})

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.stdout.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._log.close()

    def _ask(self, request: dict[str, Any]) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(request).encode() + b"\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise JavaError("the program ended")
        answer = json.loads(line)
        if "error" in answer:
            raise JavaError(answer["error"])
        return answer["done"]


def encoded(data: bytes) -> str:
    """Bytes as the program takes and gives them."""
    return base64.b64encode(data).decode()
