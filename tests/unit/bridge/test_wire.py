"""Pulsar's binary protocol, and entries as the broker has them."""

import base64
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.bridge.pulsar_library import core
from headrace.bridge.raw_entry import Chunk, EntryId, RawEntry
from headrace.bridge.wire import Command, Frame, WireError, command, field, fields, opened

VALUES = st.one_of(st.integers(0, 2**63 - 1), st.binary(max_size=40))


@given(st.lists(st.tuples(st.integers(1, 2000), VALUES), max_size=10))
def test_what_is_written_is_read(pairs: list[tuple[int, int | bytes]]) -> None:
    found = fields(b"".join(field(number, value) for number, value in pairs))
    assert found == {number: [value for each, value in pairs if each == number] for number, _ in pairs}


@given(st.binary(max_size=60))
def test_p7_any_bytes_are_read_or_refused(data: bytes) -> None:
    for read in (fields, Frame.parse, opened):
        try:
            read(data)
        except WireError:
            continue
    entry = RawEntry("persistent://a/b/c", EntryId((1, 2)), data)
    assert entry.messages >= 1
    assert (
        entry.metadata,
        entry.properties(),
        entry.encrypted,
        entry.chunk,
        entry.partition_key(),
        entry.event_timestamp(),
    ) is not None


def test_a_command_is_a_frame() -> None:
    data = command(Command.FLOW, field(1, 7), field(2, 1000))
    assert struct.unpack(">I", data[:4]) == (len(data) - 4,)
    frame = Frame.parse(data[4:] + b"rest")
    assert (frame.kind, frame.body, frame.rest) == (Command.FLOW, {1: [7], 2: [1000]}, b"rest")


@pytest.mark.parametrize("front", [b"", b"\x0e\x01crc3", b"\x0e\x02\x00\x00\x00\x03abc\x0e\x01crc3"])
def test_an_entry_is_metadata_and_payload_whatever_stands_in_front(front: bytes) -> None:
    metadata = field(1, "producer") + field(2, 9)
    assert opened(front + struct.pack(">I", len(metadata)) + metadata + b"payload") == (metadata, b"payload")


def entry(metadata: bytes) -> RawEntry:
    return RawEntry("persistent://a/b/c", EntryId((1, 2), 3), struct.pack(">I", len(metadata)) + metadata + b"payload")


def test_an_entry_says_what_it_is() -> None:
    usual = field(1, "producer") + field(2, 1) + field(3, 1700000000000)
    pair = field(1, "tenant") + field(2, "x")
    encrypted = entry(usual + field(4, pair) + field(6, "key") + field(13, field(1, "ours")) + field(11, 20))
    assert (encrypted.encrypted, encrypted.messages, encrypted.partition_key()) == (True, 20, "key")
    assert encrypted.properties()["tenant"] == "x"
    assert b"ours" in base64.b64decode(encrypted.metadata)
    piece = entry(usual + field(26, "u") + field(27, 3) + field(28, 90) + field(29, 1))
    assert piece.chunk == Chunk("u", 1, 3)
    assert not piece.encrypted
    whole = piece.holding(b"all")
    assert (whole.data(), piece.data(), whole.place) == (b"all", b"payload", (1, 2))


def test_an_entrys_id_is_ordered_with_those_of_messages() -> None:
    assert core.MessageId(3, 1, 1, 5) < EntryId((1, 2), 3) < core.MessageId(3, 1, 3, 0)
    assert isinstance(EntryId((1, 2)), core.MessageId)
