"""Gives topics the schemas that messages were written by, so that consumers with a schema can read them there."""

from __future__ import annotations

from headrace.api.topic import base_topic
from headrace.bridge.header import Schema, SchemaAt
from headrace.bridge.raw_topic import BrokerRefusalError, Link
from headrace.bridge.wire import Command, Fields, command, content, field, integer, text

_REQUEST = 1
INCOMPATIBLE = 18
_NOT_FOUND = 11
"""Pulsar's numbers of errors."""


class Schemas:
    """What one connection was told of schemas, for one partition's topic. Methods raise ``RAW_TROUBLE``."""

    def __init__(self, link: Link, topic: str) -> None:
        self._link = link
        self._topic = topic
        self._found: dict[SchemaAt, bytes] = {}
        self._versions: dict[bytes, bytes] = {}

    def found(self, schema: Schema) -> bytes:
        """*schema* itself, as Pulsar writes it (``Schema``); empty when there is none any more."""
        if isinstance(schema, bytes):
            return schema
        if schema not in self._found:
            version = field(3, schema.version.to_bytes(8, "big"))
            self._found[schema] = content(self._asked(schema.topic, version), 4)
        return self._found[schema]

    def latest(self, topic: str) -> bytes:
        """The schema of *topic*; empty when it has none."""
        return content(self._asked(topic), 4)

    def latest_at(self, topic: str) -> SchemaAt | None:
        """Where that is; None when there is none."""
        version = content(self._asked(topic), 5)
        return SchemaAt(topic, int.from_bytes(version, "big")) if len(version) == 8 else None

    def _asked(self, topic: str, version: bytes = b"") -> Fields:
        self._link.send(command(Command.GET_SCHEMA, field(1, _REQUEST), field(2, topic), version))
        answer = self._link.answer(Command.GET_SCHEMA_RESPONSE).body
        if 2 not in answer:
            return answer
        if (code := integer(answer, 2)) == _NOT_FOUND:
            return {}
        raise BrokerRefusalError(text(answer, 3), code)

    def version(self, schema: Schema) -> bytes:
        """The version under which the topic has *schema*, which it is given where it has it not.

        Empty when it does not take it, as it does not fit the topic's own or may not be added.
        """
        found = self.found(schema)
        if not found:
            return b""
        if found not in self._versions:
            if isinstance(schema, SchemaAt):
                self._give_earlier(schema)
            self._versions[found] = self._given(found)
        return self._versions[found]

    def _give_earlier(self, schema: SchemaAt) -> None:
        """A topic may take a schema only behind those that came before it."""
        if base_topic(self._topic) == schema.topic:
            return
        for version in range(schema.version):
            earlier = self.found(SchemaAt(schema.topic, version))
            if earlier and earlier not in self._versions:
                self._versions[earlier] = self._given(earlier)

    def _given(self, schema: bytes) -> bytes:
        names = field(1, _REQUEST) + field(2, self._topic)
        self._link.send(command(Command.GET_OR_CREATE_SCHEMA, names, field(3, schema)))
        answer = self._link.answer(Command.GET_OR_CREATE_SCHEMA_RESPONSE).body
        if 2 not in answer:
            return content(answer, 4)
        if (code := integer(answer, 2)) == INCOMPATIBLE:
            return b""
        raise BrokerRefusalError(text(answer, 3), code)
