"""What a run lost, doubled or disordered: the messages sent against those read back from the end. Pure."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

SHOWN = 10
"""How many ranges of numbers a line shows at most."""


@dataclass(frozen=True)
class Found:
    """One message as read back."""

    number: int
    group: str
    """Messages of one group must keep the order in which they were sent."""


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


def compare(sent: int, found: Sequence[Found]) -> Verdict:
    """Compare messages 1 to *sent* with what was *found*, each group in the order of a consumer."""
    copies = Counter(message.number for message in found)
    lost = [number for number in range(1, sent + 1) if not copies[number]]
    duplicated = [
        number for number, times in copies.items() for _ in range(times - 1 if 1 <= number <= sent else times)
    ]
    latest: dict[str, int] = {}
    seen: set[int] = set()
    disordered = []
    for message in found:
        if message.number not in seen and message.number < latest.get(message.group, 0):
            disordered.append(message.number)
        seen.add(message.number)
        latest[message.group] = max(message.number, latest.get(message.group, 0))
    return Verdict(lost, sorted(duplicated), disordered)


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
