"""What a message has besides payload, key, properties and event time, and a client library may hide or drop. Pure."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class SchemaAt:
    """A schema, by where it is found."""

    topic: str
    version: int

    def __str__(self) -> str:
        return f"version {self.version} of {self.topic}"


Schema = SchemaAt | bytes
"""Where a schema is found, or itself as Pulsar writes it (``Schema``)."""


@dataclass(frozen=True, slots=True)
class Header:
    """False when there is nothing in it."""

    key_is_bytes: bool | None = False
    """The key is the Base64 of bytes; else it is a text. None where that cannot be read."""
    ordering_key: bytes = b""
    null_value: bool = False
    """It has no payload, which is not the same as an empty one."""
    schema: Schema | None = None
    """What it says that its payload is written by; None for bytes."""

    def __bool__(self) -> bool:
        return self != NOTHING

    def to_record(self) -> dict[str, Any]:
        """As it stands in an outbox record."""
        found: dict[str, Any] = {}
        if self.key_is_bytes:
            found["keyIsBytes"] = True
        if self.ordering_key:
            found["orderingKeyBase64"] = base64.b64encode(self.ordering_key).decode()
        if self.null_value:
            found["nullValue"] = True
        if isinstance(self.schema, bytes):
            found["schemaBase64"] = base64.b64encode(self.schema).decode()
        elif self.schema is not None:
            found["schema"] = {"topic": self.schema.topic, "version": self.schema.version}
        return found

    @classmethod
    def parse(cls, value: Any) -> Header:
        """The inverse of :meth:`to_record`; raises ``ValueError``."""
        if value is None:
            return NOTHING
        try:
            schema, itself = value.get("schema"), value.get("schemaBase64")
            return cls(
                key_is_bytes=bool(value.get("keyIsBytes")),
                ordering_key=base64.b64decode(value.get("orderingKeyBase64", ""), validate=True),
                null_value=bool(value.get("nullValue")),
                schema=base64.b64decode(itself, validate=True)
                if itself
                else schema and SchemaAt(str(schema["topic"]), int(schema["version"])),
            )
        except (AttributeError, TypeError, KeyError, binascii.Error) as error:
            raise ValueError(f"it is no header of a message: {error!r}") from None


NOTHING = Header()


def may_be_bytes(key: str) -> bool:
    """Whether *key* may be the Base64 of bytes: then only the entry itself tells whether it is."""
    if not key or len(key) % 4:
        return False
    try:
        base64.b64decode(key, validate=True)
    except (binascii.Error, ValueError):
        return False
    return True
