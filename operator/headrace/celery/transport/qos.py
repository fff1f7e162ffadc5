# mypy: disallow-untyped-calls=False, disallow-subclassing-any=False
"""What kombu asks about the messages a channel holds."""

from __future__ import annotations

from typing import Any

from kombu.transport import virtual

from headrace.celery.transport.keys import parts_of
from headrace.celery.transport.letter import Refusal
from headrace.celery.transport.owner import Owner, counts, owner_named

MOST = 100
"""Most messages of one reservation."""


class QoS(virtual.QoS):
    """Acknowledgements and credit. Acknowledgements come from any thread."""

    channel: Any
    _released = False

    def credit(self) -> int:
        """How many messages may be taken now."""
        if not self.can_consume():
            return 0
        if "can_consume" in self.__dict__:
            return 1  # Celery replaced it, to hold back what the count below would allow
        if not self.prefetch_count:
            return self.channel.unlimited_batch  # type: ignore[no-any-return]
        return max(min(self.prefetch_count - (len(self._delivered) - len(self._dirty)), MOST), 0)

    def ack(self, delivery_tag: str) -> None:
        """The message is done."""
        owner, number = self._owner_of(delivery_tag)
        if owner is not None:
            owner.ack(number)
        self._quick_ack(delivery_tag)

    def ack_up_to(self, delivery_tag: str) -> None:
        """This message and all that were delivered before it are done."""
        for tag in list(self._delivered):
            if tag not in self._dirty:
                self.ack(tag)
            if tag == delivery_tag:
                return

    def reject(self, delivery_tag: str, requeue: bool = False) -> None:
        """The message goes back to its queue, or to the dead letters."""
        owner, number = self._owner_of(delivery_tag)
        if owner is not None:
            if requeue:
                owner.requeue(number)
            else:
                self._bury(owner, number)
        self._quick_ack(delivery_tag)

    def _bury(self, owner: Owner, number: int) -> None:
        held = owner.held.get(number)
        if held is None or owner.has_staged(number):
            owner.ack(number)
            return
        error = "a worker refused the message."
        refusal = Refusal(held.queue, held.raw, "Rejected", error, held.deliveries + 1)
        self.channel.bury(owner, number, refusal)

    def give_back(self, delivery_tag: str) -> None:
        """The message goes to the front of its queue as if it had never been taken."""
        owner, number = self._owner_of(delivery_tag)
        if owner is not None:
            owner.give_back([number])
        self._quick_ack(delivery_tag)

    @staticmethod
    def _owner_of(delivery_tag: str) -> tuple[Owner | None, int]:
        """The owner in this process; None when the message was taken from it, and that is counted."""
        parts = parts_of(delivery_tag)
        if parts is None:
            return None, 0  # a broadcast: nothing holds it
        owner = owner_named(parts[0])
        if owner is None:
            counts.fenced += 1
        return owner, parts[1]

    def restore_unacked(self) -> list[Any]:
        """Give back all that is not acknowledged."""
        self._flush()
        for tag in reversed(list(self._delivered)):
            self.give_back(tag)
        self._delivered.clear()
        return []

    def restore_unacked_once(self, stderr: Any = None) -> None:
        """Give back all when the channel closes."""
        self._on_collect.cancel()
        if not self._released:
            self._released = True
            self.channel.release()
            self._delivered.clear()
