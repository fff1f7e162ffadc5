"""CRC-32C, by which brokers and consumers know that an entry arrived whole. Pure."""

from __future__ import annotations

_POLYNOMIAL = 0x82F63B78


def _table() -> list[int]:
    found = []
    for number in range(256):
        for _ in range(8):
            number = number >> 1 ^ (_POLYNOMIAL if number & 1 else 0)
        found.append(number)
    return found


_TABLE = _table()


def crc32c(data: bytes) -> int:
    """The checksum of *data*."""
    table, found = _TABLE, 0xFFFF_FFFF
    for byte in data:
        found = table[(found ^ byte) & 0xFF] ^ found >> 8
    return found ^ 0xFFFF_FFFF
