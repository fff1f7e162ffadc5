"""What a run lost, doubled or disordered: the messages sent against those read back from the end. Pure."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

SHOWN = 10
"""How many ranges of numbers a line shows at most."""
FIRST_OTHER = 10_000_000
"""The number of the first message that somebody else than the traffic sends."""


@dataclass(frozen=True)
class Found:
    """One message as read back."""

    number: int
    group: str
    """Messages of one group must keep the order in which they were sent."""


@dataclass
class Ledger:
    """What others than the bridge did with messages of a run, as those who did it counted."""

    earlier: list[Found] = field(default_factory=list)
    """Read back before their place was deleted, or its messages taken out of it, oldest first."""
    taken: set[int] = field(default_factory=set)
    """Out of the source by another consumer: the bridge never had them."""
    shared: set[int] = field(default_factory=set)
    """The bridge may have had them before somebody else got them, or before they were deleted: they need not arrive."""
    repeatable: set[int] = field(default_factory=set)
    """In flight when the place was deleted in which they were: they may stand in the next one, too."""
    others: list[int] = field(default_factory=list)
    """Numbers of messages that others than the traffic sent; they must arrive like the traffic's."""
    ordered: bool = True
    """Whether messages of a group still must keep their order."""

    def expect(self, count: int) -> list[int]:
        """Numbers for so many messages that somebody else sends."""
        numbers = [FIRST_OTHER + len(self.others) + place for place in range(count)]
        self.others += numbers
        return numbers

    def archive(self, found: Sequence[Found], in_flight: set[int]) -> None:
        """Their place is deleted after they were *found* there; those *in_flight* may stand in the next one, too."""
        again = {message.number for message in found} & self.repeatable
        self.earlier = [*(message for message in self.earlier if message.number not in again), *found]
        self.repeatable |= in_flight


@dataclass(frozen=True)
class Verdict:
    """The numbers of the messages that something happened to."""

    lost: list[int]
    duplicated: list[int]
    """Once for each surplus copy. A message that nobody sent is surplus too."""
    disordered: list[int]
    """Came after a later one of its group."""

    @property
    def clean(self) -> bool:
        """Whether everything arrived once and in order."""
        return not (self.lost or self.duplicated or self.disordered)


def compare(sent: int, found: Sequence[Found], others: Sequence[int] = ()) -> Verdict:
    """Compare messages 1 to *sent*, and *others*, with what was *found*, each group in the order of a consumer."""
    copies = Counter(message.number for message in found)
    expected = {*range(1, sent + 1), *others}
    lost = [number for number in sorted(expected) if not copies[number]]
    duplicated = [number for number, times in copies.items() for _ in range(times - (number in expected))]
    latest: dict[str, int] = {}
    seen: set[int] = set()
    disordered = []
    for message in found:
        if message.number not in seen and message.number < latest.get(message.group, 0):
            disordered.append(message.number)
        seen.add(message.number)
        latest[message.group] = max(message.number, latest.get(message.group, 0))
    return Verdict(lost, sorted(duplicated), disordered)


def settle(sent: int, found: Sequence[Found], ledger: Ledger) -> Verdict:
    """As :func:`compare`, with what the *ledger* says of others."""
    again = {message.number for message in found} & ledger.repeatable
    all_found = [*(message for message in ledger.earlier if message.number not in again), *found]
    all_found = [
        message if ledger.ordered and message.number < FIRST_OTHER else Found(message.number, str(message.number))
        for message in all_found
    ]
    all_found += [Found(number, f"taken {number}") for number in sorted(ledger.taken)]
    verdict = compare(sent, all_found, ledger.others)
    return replace(verdict, lost=[number for number in verdict.lost if number not in ledger.shared])


def ranges(numbers: Sequence[int]) -> str:
    """Numbers for people, the first of them: ``1-13430 14001 …``."""
    found: list[list[int]] = []
    for number in numbers:
        if found and number == found[-1][1] + 1:
            found[-1][1] = number
        else:
            found.append([number, number])
    shown = [f"{first}-{last}" if last > first else str(first) for first, last in found[:SHOWN]]
    return " ".join(shown) + (" …" if len(found) > SHOWN else "")
