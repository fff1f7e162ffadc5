"""Uncompresses batches, for what the client library does not tell of the messages in them.

Python has zlib. LZ4 and Snappy are simple enough to be read here; for Zstandard the library's own code is called.
"""

from __future__ import annotations

import ctypes
import zlib
from functools import cache
from pathlib import Path

from headrace.bridge.pulsar_library import core

NONE, LZ4, ZLIB, ZSTD, SNAPPY = range(5)
"""Pulsar's numbers."""


class UnreadableError(Exception):
    """It cannot be uncompressed here."""


def uncompressed(data: bytes, kind: int, size: int) -> bytes:
    """*data*, which has *size* bytes when it is uncompressed. Raises :class:`UnreadableError`."""
    try:
        if kind == NONE:
            return data
        if kind == LZ4:
            found = _lz4(data)
        elif kind == ZLIB:
            found = zlib.decompressobj().decompress(data)  # Java writes no end
        elif kind == ZSTD:
            found = _zstd(data, size)
        elif kind == SNAPPY:
            found = _snappy(data)
        else:
            raise UnreadableError(f"nobody knows the compression {kind}")
    except (IndexError, zlib.error) as error:
        raise UnreadableError(f"it is damaged: {error}") from None
    if len(found) != size:
        raise UnreadableError(f"it has {len(found)} bytes and not {size}")
    return found


def _repeat(found: bytearray, offset: int, length: int) -> None:
    """Append *length* bytes of what stands *offset* bytes before the end, which may be what is appended."""
    if not 0 < offset <= len(found):
        raise UnreadableError("it is damaged: it repeats what is not there")
    start = len(found) - offset
    piece = bytes(found[start : start + length])
    while len(piece) < length:
        piece += piece
    found += piece[:length]


def _lz4(data: bytes) -> bytes:
    """One block, as Pulsar writes it."""
    found, at = bytearray(), 0
    while True:
        token = data[at]
        length, at = _lz4_length(data, at + 1, token >> 4)
        found += data[at : at + length]
        at += length
        if at >= len(data):
            return bytes(found)
        offset = data[at] | data[at + 1] << 8
        length, at = _lz4_length(data, at + 2, token & 15)
        _repeat(found, offset, length + 4)


def _lz4_length(data: bytes, at: int, length: int) -> tuple[int, int]:
    if length == 15:
        more = 255
        while more == 255:
            more = data[at]
            length += more
            at += 1
    return length, at


def _snappy(data: bytes) -> bytes:
    at = 0
    while data[at] & 0x80:  # the size
        at += 1
    at += 1
    found = bytearray()
    while at < len(data):
        tag = data[at]
        at += 1
        kind, length = tag & 3, (tag >> 2) + 1
        if kind == 0:
            if length > 60:
                width = length - 60
                length = int.from_bytes(data[at : at + width], "little") + 1
                at += width
            found += data[at : at + length]
            at += length
        elif kind == 1:
            _repeat(found, tag >> 5 << 8 | data[at], (tag >> 2 & 7) + 4)
            at += 1
        else:
            width = 2 * kind - 2
            _repeat(found, int.from_bytes(data[at : at + width], "little"), length)
            at += width
    return bytes(found)


def _zstd(data: bytes, size: int) -> bytes:
    function = _zstd_function()
    if function is None:
        raise UnreadableError("there is nothing here that uncompresses Zstandard")
    target = ctypes.create_string_buffer(size)
    return target.raw if function(target, size, data, len(data)) == size else b""


@cache
def _zstd_function() -> ctypes._NamedFuncPointer | None:
    """That of the client library, which carries one, else the system's; None without either."""
    carried = sorted(Path(core.__file__).parent.glob("pulsar_client.libs/libpulsar*"))
    for name in (*map(str, carried), "libzstd.so.1"):
        try:
            function = ctypes.CDLL(name).ZSTD_decompress
        except (OSError, AttributeError):
            continue
        function.restype = ctypes.c_size_t
        function.argtypes = [ctypes.c_char_p, ctypes.c_size_t, ctypes.c_char_p, ctypes.c_size_t]
        return function
    return None
