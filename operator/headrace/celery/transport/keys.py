"""Names of the transport's keys, and how a staged record is written. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

from headrace.api import task_count

_TAG = re.compile("([0-9a-f]{16}):([0-9]+)")
DEFAULT_PREFIX = "headrace:{celery}"


@dataclass(frozen=True)
class Keys:
    """The keys of one pool of workers."""

    prefix: str

    @property
    def owners(self) -> str:
        """Sorted set: who holds messages, by the end of its lease in ms of Valkey's clock."""
        return task_count.owners_key(self.prefix)

    @property
    def deliveries(self) -> str:
        """Hash: how often a message was handed out in vain, by the SHA-1 of the message."""
        return f"{self.prefix}:deliveries"

    @property
    def looked(self) -> str:
        """When somebody last looked for owners that are gone, in ms."""
        return f"{self.prefix}:looked"

    @property
    def unacked_of(self) -> str:
        """An owner's reservations (see :meth:`unacked`) without its name."""
        return task_count.unacked_key(self.prefix, "")

    @property
    def staged_of(self) -> str:
        """An owner's staged records (see :meth:`staged`) without its name."""
        return f"{self.prefix}:staged:"

    def unacked(self, owner: str) -> str:
        """Hash: the messages that *owner* holds, by number; each with the list it came from before it."""
        return self.unacked_of + owner

    def staged(self, owner: str) -> str:
        """Hash: records to be pushed with the acknowledgement, by the message's number."""
        return self.staged_of + owner


@dataclass(frozen=True)
class Push:
    """A record that is pushed to a list with the acknowledgement of its message.

    ``mark``: key that says that the task left its record; set for ``window_seconds``, and while it stands nothing more
    is pushed. None when each acknowledgement pushes.
    """

    target: str
    record: bytes
    mark: str | None = None
    window_seconds: int = 0

    def arguments(self) -> tuple[str, bytes, str, int]:
        """As the scripts take it."""
        return self.target, self.record, self.mark or "", self.window_seconds

    def packed(self) -> bytes:
        """As it is kept in Valkey until the acknowledgement."""
        parts = (self.target.encode(), (self.mark or "").encode(), str(self.window_seconds).encode())
        return b"".join(b"%d:%s" % (len(part), part) for part in parts) + self.record


def message_in(reservation: bytes) -> bytes:
    """The message of a reservation, which has the list that it came from before it."""
    length, _, rest = reservation.partition(b":")
    return rest[int(length) :]


def tag_of(owner: str, number: int) -> str:
    """The delivery tag of a message: who holds it, and under what number."""
    return f"{owner}:{number}"


def parts_of(tag: str) -> tuple[str, int] | None:
    """Owner and number of a delivery tag; None when it is none of ours."""
    found = _TAG.fullmatch(tag)
    return (found[1], int(found[2])) if found else None
