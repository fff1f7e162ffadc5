"""The real bridge with one mistake, which the harness must catch.

`python -m tests.faults.mutant NAME POINT COMMAND …`, POINT as for `tests.integration.deadly`, or empty.
"""

import functools
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import pulsar
import valkey

from headrace.bridge import scripts
from headrace.bridge.account import Account
from headrace.bridge.batch import Batch
from headrace.bridge.continuity import Continuity, Gap
from headrace.bridge.cut import Cut, CutStore
from headrace.bridge.delivery import Delivered, DeliveryStore
from headrace.bridge.identity import Identity
from headrace.bridge.inward import Inward
from headrace.bridge.recognition import Recognition
from headrace.celery.execution import Execution
from headrace.cli.main import main
from tests.integration.deadly import arm


@dataclass(frozen=True)
class Mutant:
    """One mistake, and what shows it."""

    mutate: Callable[[], None]
    scenario: str
    faults: tuple[str, ...]
    """They strike in turn, see `fault.py`."""


def instead(owner: type, name: str) -> Callable[[Callable[..., Any]], None]:
    """Put a function in the place of a method, which must exist and is given to it first."""
    original = getattr(owner, name)

    def put(mistaken: Callable[..., Any]) -> None:
        @functools.wraps(original)
        def method(*args: Any, **kwargs: Any) -> Any:
            return mistaken(original, *args, **kwargs)

        setattr(owner, name, method)

    return put


def acknowledge_before_push() -> None:
    """What is received is acknowledged at once."""

    @instead(Inward, "_move")
    def move(original: Callable[..., None], self: Any, messages: Iterable[Any], *arguments: Any) -> None:
        received = list(messages)
        for last in {message.topic_name(): message.message_id() for message in received}.values():
            self._consumer._consumer.acknowledge_cumulative(last)
        original(self, received, *arguments)


def forget_the_watermark() -> None:
    """What was pushed already is pushed again: watermark and ids are forgotten."""

    @instead(DeliveryStore, "push")
    def push(original: Callable[..., Delivered], self: DeliveryStore, batch: Batch, *arguments: Any) -> Delivered:
        for partition in set(batch.partitions):
            self.forget(partition)
        self.load()
        return original(self, batch, *arguments)


def commit_before_publish() -> None:
    """A cut is forgotten as soon as it is made."""

    @instead(CutStore, "next")
    def following(original: Callable[..., list[Cut]], self: CutStore, *arguments: Any) -> list[Cut]:
        cuts = original(self, *arguments)
        for cut in cuts:
            self.commit(cut)
        return cuts


def forget_the_cut() -> None:
    """What is found in flight at the start is taken for done."""

    @instead(CutStore, "next")
    def following(original: Callable[..., list[Cut]], self: CutStore, *arguments: Any) -> list[Cut]:
        cuts = original(self, *arguments)
        if cuts and cuts[0].pending:
            for cut in cuts:
                self.commit(cut)
            cuts = original(self, *arguments)
        return cuts


def new_ids_on_replay() -> None:
    """A cut that is found in flight is sent with ids that Pulsar does not know yet."""
    stored: dict[int, int] = {}

    def as_stored(cut: Cut) -> Cut:
        return replace(cut, first=stored.get(cut.first, cut.first))

    @instead(CutStore, "next")
    def following(original: Callable[..., list[Cut]], self: CutStore, *arguments: Any) -> list[Cut]:
        _, floor, *_ = arguments
        cuts = original(self, *(as_stored(each) if isinstance(each, Cut) else each for each in arguments))
        if not (cuts and cuts[0].pending):
            return cuts
        changed, free = [], max(floor, cuts[-1].last) + 1
        for cut in cuts:
            stored[free] = cut.first
            changed.append(replace(cut, first=free))
            free += len(cut.entries)
        return changed

    @instead(CutStore, "commit")
    def commit(original: Callable[..., Any], self: CutStore, cut: Cut, *arguments: Any) -> Any:
        return original(self, as_stored(cut), *arguments)


def rewrite(file: str, changes: Mapping[str, str]) -> None:
    """Change the text of a `.lua` *file* wherever it stands in a script; what is to be changed must be in it."""
    text = (scripts.HERE / file).read_text()
    changed = text
    for before, after in changes.items():
        if before not in text:
            raise LookupError(f"{file} has no {before!r} any more: this mutant has to be written anew")
        changed = changed.replace(before, after)

    @instead(valkey.Valkey, "register_script")
    def register(original: Callable[..., Any], self: valkey.Valkey, script: str) -> Any:
        return original(self, script.replace(text, changed))


def push_unasked() -> None:
    """The script does not ask whether somebody else has pushed meanwhile."""
    rewrite("deliver.lua", {"(redis.call('HGET', watermark, ARGV[at]) or '') ~= ARGV[at + 1]": "false"})


def name_no_installation() -> None:
    """Two bridges of one namespace and name are one and the same to Pulsar."""

    @instead(Identity, "name")
    def name(original: Callable[..., str], self: Identity) -> str:
        original(self)
        return "everybody"


CHECK = "if refusal then\n  return refusal\nend"


def take_unchecked() -> None:
    """The script takes entries before it knows whether it may write them down."""
    rewrite("cut.lua", {CHECK: ""})


MARKING = "if keep_books_first then\n"


def mark_before_write() -> None:
    """The script marks keys as seen before it knows whether it may write the messages."""
    rewrite(
        "deliver.lua",
        {
            CHECK: "",
            MARKING: f"for _, once in ipairs(marks) do redis.call('SET', once, '1', 'EX', window) end\n{MARKING}",
        },
    )


def acknowledge_over_a_gap() -> None:
    """An acknowledgement passes over what the client did not give out before the message."""

    @instead(Continuity, "gaps")
    def gaps(original: Callable[..., list[Gap]], self: Continuity, *arguments: Any) -> list[Gap]:
        original(self, *arguments)
        return []


def ignore_the_end() -> None:
    """Nobody looks for what the client does not give out where no message comes behind it."""

    @instead(Account, "look")
    def look(original: Callable[..., Iterator[Batch]], self: Account, **how: Any) -> Iterator[Batch]:
        return iter(())


def believe_the_watermark() -> None:
    """What lies at or below a position was pushed before, whatever topic the position speaks of."""

    @instead(Recognition, "is_same")
    def is_same(original: Callable[..., bool], self: Recognition, partition: str) -> bool:
        return True

    @instead(Recognition, "after_reconnect")
    def after_reconnect(original: Callable[..., None], self: Recognition, partition: str) -> None:
        return None


def latest_at_each_open() -> None:
    """A subscription that is missing begins at the end, each time that the consumer connects."""

    @instead(pulsar.Client, "subscribe")
    def subscribe(original: Callable[..., Any], self: pulsar.Client, *arguments: Any, **how: Any) -> Any:
        return original(self, *arguments, **{**how, "initial_position": pulsar.InitialPosition.Latest})


def acknowledge_before_running() -> None:
    """A task is acknowledged when it begins."""

    @instead(Execution, "install")
    def install(original: Callable[..., None], self: Execution, app: Any) -> None:
        original(self, app)
        for task in app.tasks.values():
            task.acks_late = False


MUTANTS: Mapping[str, Mutant] = {
    "acknowledge before push": Mutant(
        acknowledge_before_push,
        "pulsar-to-list",
        ("held, then killed before the push", "killed while cut off from Valkey"),
    ),
    "forget the watermark": Mutant(forget_the_watermark, "pulsar-to-list", ("killed after the push",) * 2),
    "forget the ids": Mutant(forget_the_watermark, "pulsar-to-list-shared", ("killed after the push",) * 2),
    "push unasked": Mutant(push_unasked, "pulsar-to-list", ("frozen and replaced before the push",)),
    "commit before publish": Mutant(commit_before_publish, "list-to-pulsar", ("killed after the cut",) * 2),
    "forget the cut": Mutant(forget_the_cut, "list-to-pulsar", ("killed after the cut",) * 2),
    "acknowledge before running": Mutant(
        acknowledge_before_running, "tasks-prefork", ("children frozen, then all killed",) * 2
    ),
    "mark before write": Mutant(mark_before_write, "pulsar-to-stream", ("the right to XADD revoked",)),
    "acknowledge over a gap": Mutant(acknowledge_over_a_gap, "pulsar-to-list", ("chunked neighbours",)),
    "ignore the end": Mutant(ignore_the_end, "pulsar-to-list", ("encrypted neighbour at the end",)),
    "believe the watermark": Mutant(believe_the_watermark, "pulsar-to-list", ("state of another cluster",)),
    "latest at each open": Mutant(
        latest_at_each_open, "pulsar-to-list-latest", ("subscription deleted that begins at the end",)
    ),
    "take unchecked": Mutant(take_unchecked, "list-to-pulsar", ("the right to RPUSH revoked",)),
    "name no installation": Mutant(name_no_installation, "list-to-pulsar", ("twin with another Valkey",)),
    "new ids on replay": Mutant(new_ids_on_replay, "stream-to-pulsar", ("killed before the commit",) * 2),
}


if __name__ == "__main__":
    name, point, *command = sys.argv[1:]
    MUTANTS[name].mutate()
    if point:
        arm(point)
    sys.exit(main(command))
