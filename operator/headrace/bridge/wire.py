"""Pulsar's binary protocol, as far as single entries need it. Pure.

The client library gives out what it could decrypt, uncompress and put together, and nothing of the rest. To keep the
rest, its bytes must be had as the broker has them. Nor does it read or write all that a message has.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from headrace.bridge.checksum import crc32c

PROTOCOL_VERSION = 19

Fields = dict[int, list[int | bytes]]
"""A message of Protocol Buffers, by the numbers of its fields."""


class WireError(Exception):
    """Bytes that are not what they should be."""


class Command:
    """The commands that are used; each one's number is also that of its field."""

    CONNECT = 2
    CONNECTED = 3
    SUBSCRIBE = 4
    PRODUCER = 5
    SEND = 6
    SEND_RECEIPT = 7
    SEND_ERROR = 8
    MESSAGE = 9
    ACK = 10
    FLOW = 11
    SUCCESS = 13
    ERROR = 14
    CLOSE_PRODUCER = 15
    CLOSE_CONSUMER = 16
    PRODUCER_SUCCESS = 17
    PING = 18
    PONG = 19
    LOOKUP = 23
    LOOKUP_RESPONSE = 24
    GET_SCHEMA = 34
    GET_SCHEMA_RESPONSE = 35
    ACK_RESPONSE = 38
    GET_OR_CREATE_SCHEMA = 39
    GET_OR_CREATE_SCHEMA_RESPONSE = 40


_BROKER_METADATA = b"\x0e\x02"
_CHECKSUM = b"\x0e\x01"


def varint(number: int) -> bytes:
    """*number*, negative ones as Protocol Buffers write them."""
    number &= 0xFFFF_FFFF_FFFF_FFFF
    found = bytearray()
    while number > 0x7F:
        found.append(number & 0x7F | 0x80)
        number >>= 7
    found.append(number)
    return bytes(found)


def field(number: int, value: int | str | bytes) -> bytes:
    """One field of a message."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    data = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(data)) + data


def fields(data: bytes) -> Fields:
    """The fields of a message; raises ``WireError``."""
    found: Fields = {}
    at = 0
    while at < len(data):
        tag, at = _varint_at(data, at)
        number, kind = tag >> 3, tag & 7
        value: int | bytes
        if kind == 0:
            value, at = _varint_at(data, at)
        else:
            if kind == 2:
                size, at = _varint_at(data, at)
            elif kind in (1, 5):
                size = 8 if kind == 1 else 4
            else:
                raise WireError(f"no field is of kind {kind}")
            value, at = data[at : at + size], at + size
            if at > len(data):
                raise WireError("a field is cut off")
        found.setdefault(number, []).append(value)
    return found


def _varint_at(data: bytes, at: int) -> tuple[int, int]:
    number = shift = 0
    while True:
        if at >= len(data) or shift > 63:
            raise WireError("a number is cut off")
        byte = data[at]
        at += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number, at
        shift += 7


def integer(found: Fields, number: int, default: int = 0) -> int:
    """The last value of a field that holds a number; raises ``WireError`` when it holds something else."""
    value = found[number][-1] if number in found else default
    if not isinstance(value, int):
        raise WireError(f"field {number} is no number")
    return value


def content(found: Fields, number: int) -> bytes:
    """The last value of a field that holds bytes, empty without; raises ``WireError`` when it holds something else."""
    value = found[number][-1] if number in found else b""
    if not isinstance(value, bytes):
        raise WireError(f"field {number} is no text")
    return value


def text(found: Fields, number: int) -> str:
    """Like :func:`content`, as text."""
    return content(found, number).decode(errors="replace")


def command(kind: int, *parts: bytes) -> bytes:
    """A whole frame of a command."""
    base = field(1, kind) + field(kind, b"".join(parts))
    return struct.pack(">II", len(base) + 4, len(base)) + base


def sending(parts: bytes, metadata: bytes, payload: bytes) -> bytes:
    """A whole frame that publishes an entry. *parts*: of the command."""
    base = field(1, Command.SEND) + field(Command.SEND, parts)
    entry = struct.pack(">I", len(metadata)) + metadata + payload
    checked = _CHECKSUM + struct.pack(">I", crc32c(entry)) + entry
    return struct.pack(">II", len(base) + len(checked) + 4, len(base)) + base + checked


@dataclass(frozen=True, slots=True)
class Frame:
    """What came from the broker."""

    kind: int
    body: Fields
    rest: bytes
    """What follows the command: an entry, with a message."""

    @classmethod
    def parse(cls, data: bytes) -> Frame:
        """*data* without the size in front; raises ``WireError``."""
        if len(data) < 4:
            raise WireError("a frame is cut off")
        [size] = struct.unpack_from(">I", data)
        base = fields(data[4 : 4 + size])
        kind = integer(base, 1)
        return cls(kind, fields(content(base, kind)), data[4 + size :])


def opened(entry: bytes) -> tuple[bytes, bytes]:
    """The metadata and the payload of an entry; raises ``WireError``."""
    try:
        if entry.startswith(_BROKER_METADATA):
            [size] = struct.unpack_from(">I", entry, 2)
            entry = entry[6 + size :]
        if entry.startswith(_CHECKSUM):
            entry = entry[6:]
        [size] = struct.unpack_from(">I", entry)
    except struct.error:
        raise WireError("an entry is cut off") from None
    if len(entry) < 4 + size:
        raise WireError("an entry's metadata is cut off")
    return entry[4 : 4 + size], entry[4 + size :]
