"""The messages that are moved: JSON of an exact size, each another one, about as compressible as real ones."""

import random
from collections.abc import Iterator
from dataclasses import dataclass

# Hexadecimal digits of random bits: LZ4 finds in them about what it finds in real JSON.
_TEXT = random.Random(1).randbytes(128 * 1024).hex()


@dataclass(frozen=True)
class Payload:
    """A kind of message."""

    name: str
    """As tables and figures call it."""
    size: int
    """Bytes of each message."""

    def message(self, number: int) -> bytes:
        """Message *number*; the same number gives the same message."""
        head = f'{{"id":"{number:09d}","text":"'
        length = self.size - len(head) - 2
        start = number * 7919 % (len(_TEXT) - length)
        return f'{head}{_TEXT[start : start + length]}"}}'.encode()

    def messages(self, count: int) -> Iterator[bytes]:
        """The first *count* messages."""
        return (self.message(number) for number in range(count))


SMALL = Payload("200 B", 200)
LARGE = Payload("1 KB", 1000)
