"""One call for each script of Celery's side, with the arguments that the transport and the workers give."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from typing import Any

from headrace.celery import enqueue, results
from headrace.celery.beat_store import BeatStore, Message, RunState
from headrace.celery.ledger import Ledger
from headrace.celery.transport.keys import Keys, Push
from headrace.celery.transport.link import ADOPT, KEEP, RELEASE, RESERVE, STAGE, Script
from headrace.celery.transport.settlement import Kind, Settlement, arguments
from headrace.process.valkey_server import ValkeyServer
from tests.integration.refusal_bed import Act, Case

Client = Any
KEYS = Keys("headrace:{celery}")
ME, GONE = "aaaaaaaaaaaaaaaa", "bbbbbbbbbbbbbbbb"
FAR = 32_503_680_000_000
"""The year 3000, in milliseconds."""
HEADS = [KEYS.owners, KEYS.unacked(ME), KEYS.staged(ME), KEYS.deliveries]
BOOKS = frozenset(
    {(KEYS.owners, "zset"), (KEYS.deliveries, "hash"), (KEYS.looked, "string")}
    | {(name(owner), "hash") for name in (KEYS.unacked, KEYS.staged) for owner in (ME, GONE)}
    | {(name, "list") for name in ("celery", "other", "celery-dlq", "outbox")}
)


def run(script: Script, keys: list[str], values: list[Any], client: Client) -> Any:
    return client.eval(script.text, len(keys), *keys, *values)


def held(name: str, raw: str) -> str:
    return f"{len(name)}:{name}{raw}"


# Workers


def owning(client: Client, *, counted: bool) -> None:
    """We hold nine messages of one list and one of another, and more wait."""
    client.zadd(KEYS.owners, {ME: 1})
    for number in range(1, 10):
        client.hset(KEYS.unacked(ME), number, held("celery", f"m{number}"))
    client.hset(KEYS.unacked(ME), 10, held("other", "m10"))
    client.hset(KEYS.staged(ME), 2, Push("outbox", b"staged", "mark:2", 60).packed())
    if counted:
        client.hset(KEYS.deliveries, "x", 1)
    client.lpush("celery", "waits", "waits too")
    client.lpush("other", "also waits")


SETTLEMENTS = [
    Settlement(Kind.DONE, 1),
    Settlement(Kind.DONE, 2),
    Settlement(Kind.DONE, 3, Push("celery-dlq", b"letter")),
    Settlement(Kind.DONE, 4, Push("outbox", b"result", "mark:4", 60)),
    Settlement(Kind.BACK, 5),
    Settlement(Kind.RETURNED, 6),
    Settlement(Kind.RETURNED, 10),
    Settlement(Kind.DONE, 99),
]


def reserve(lists: tuple[str, ...], but: tuple[int, ...], client: Client) -> str:
    settlements = [one for one in SETTLEMENTS if one.number not in but]
    fixed = [ME, 6000, 10, 11, len(lists) or 1, 1, 600]
    found = run(RESERVE, [*HEADS, *lists], fixed + arguments(settlements), client)
    return found[2].decode() if found[0] >= 0 else "lapsed"


def reservations(counted: bool) -> Case:
    lists = ("celery", "other")
    parts: list[Act] = [partial(reserve, lists, but) for but in ((2,), (3,), (4,), (2, 4), (2, 3, 4), (5, 6), (10,))]
    # nothing pushed to or taken from a list
    parts += [partial(reserve, ("other",), (5, 6)), partial(reserve, ("celery",), (10,))]
    parts += [partial(reserve, (), ()), partial(reserve, ("other",), ()), partial(reserve, ("celery",), ())]
    parts += [partial(reserve, lists, but) for but in ((2, 3, 4, 5), (6, 10), (5,), (6,))]
    name = f"settle and take, {'some' if counted else 'none'} handed out in vain before"
    return Case(name, partial(owning, counted=counted), partial(reserve, lists, ()), tuple(parts), BOOKS)


def plainly(client: Client) -> None:
    client.zadd(KEYS.owners, {ME: FAR})
    client.hset(KEYS.unacked(ME), mapping={1: held("celery", "m1"), 2: held("celery", "m2")})
    client.lpush("celery", "waits")


def acknowledge(client: Client) -> str:
    fixed = [ME, 6000, 10, 11, 1, 0, 600]
    settled = arguments([Settlement(Kind.DONE, 1), Settlement(Kind.DONE, 2)])
    return str(run(RESERVE, [*HEADS, "celery"], fixed + settled, client)[2].decode())


def no_more(client: Client) -> None:
    fixed = [ME, 6000, 0, 0, 1, 0, 600]
    run(RESERVE, HEADS, fixed + arguments([Settlement(Kind.DONE, 1), Settlement(Kind.DONE, 2)]), client)


def with_somebody_gone(client: Client) -> None:
    client.zadd(KEYS.owners, {ME: FAR, GONE: 1})
    client.set(KEYS.looked, FAR)
    client.hset(KEYS.unacked(GONE), mapping={1: held("celery", "m1"), 2: held("other", "m2"), 3: held("celery", "m3")})
    client.hset(KEYS.staged(GONE), 1, "x")


def keep(client: Client) -> str:
    heads = [KEYS.owners, KEYS.deliveries, KEYS.looked]
    answer = run(KEEP, heads, [ME, 6000, 0, KEYS.unacked_of, KEYS.staged_of, 3000, 600], client)
    return str(answer[2].decode()) if answer[0] >= 0 else "lapsed"


def without(key: str, call: Act, client: Client) -> None:
    """The call, while a list takes nothing."""
    there = client.exists(key)
    if there:
        client.rename(key, "away")
    client.set(key, "x")
    call(client)
    client.delete(key)
    if there:
        client.rename("away", key)


def none_given_back(client: Client) -> None:
    without("celery", partial(without, "other", keep), client)


def release(last: int, client: Client) -> str:
    _, _, why = run(RELEASE, HEADS[:3], [ME, last, 1], client)
    return str(why.decode())


def stage(client: Client) -> str:
    return "" if run(STAGE, HEADS[1:3], [1, b"record"], client) else "not ours"


def stock(client: Client) -> None:
    client.hset("unacked", "tag", "x")
    client.zadd("unacked_index", {"tag": 1})


def adopt(client: Client) -> str:
    return "" if run(ADOPT, ["unacked", "unacked_index", "celery"], ["tag", "message"], client) else "not there"


# Records and states


class Impatient(Ledger):
    """Does not wait for a Valkey that refuses."""

    def __init__(self, client: Client) -> None:
        super().__init__(ValkeyServer("", 0, 0, False), KEYS.prefix, 60)
        self._limited = client

    def _wait_for(self, call: Callable[[Any], Any]) -> Any:
        return call(self._limited)


def record(client: Client) -> None:
    Impatient(client).publish("1", "outbox", {"type": "Result"}, None)


def started_again(client: Client) -> str:
    return "" if Impatient(client).started_again("1") == 1 else "not the first time"


def store(client: Client) -> str:
    present = client.register_script(results._STORE)(keys=["state"], args=["new", 60, "SUCCESS", "S", ""])
    return str(present or "")


def beat(client: Client) -> BeatStore:
    found = BeatStore(client, KEYS.prefix)
    found.token = "me"
    found._known = {"nightly": b"before"}
    return found


def ticking(client: Client) -> None:
    client.set(f"{KEYS.prefix}:beat:lease", "me")
    client.hset(f"{KEYS.prefix}:beat", "nightly", "before")


def tick(client: Client) -> str:
    messages = [Message("celery", b"one"), Message("other", b"two")]
    return "" if beat(client).send("nightly", RunState(datetime.now(UTC), 1), messages) else "sent before"


def enqueue_some(client: Client) -> None:
    batch = enqueue._Batch()
    batch.mark = "headrace:enqueued:1"
    for number in range(3):
        batch.add("lpush", "celery", f"m{number}")
    batch.add("publish", "/0.celeryev", "event")
    batch.add("pexpire", "celery", 60_000)
    batch.send(client)


CASES = [
    reservations(counted=False),
    reservations(counted=True),
    Case("acknowledge and take", plainly, acknowledge, (no_more,), BOOKS),
    Case(
        "renew a lease while another ran out",
        with_somebody_gone,
        keep,
        (partial(without, "celery", keep), partial(without, "other", keep), none_given_back),
        BOOKS,
        frozenset({KEYS.staged(GONE)}),
    ),
    *(
        Case(
            f"give back, {last=}",
            partial(owning, counted=False),
            partial(release, last),
            (partial(without, "celery", partial(release, last)), partial(without, "other", partial(release, last))),
            BOOKS,
        )
        for last in (0, 1)
    ),
    Case("stage a record", partial(owning, counted=False), stage, types=BOOKS),
    Case("adopt what kombu's own transport left", stock, adopt, types=BOOKS),
    Case("leave a record", lambda _: None, record, types=BOOKS),
    Case("start again", lambda _: None, started_again),
    Case("store a state", lambda client: client.set("state", "STARTED"), store),
    Case("hold the scheduler's lease", lambda _: None, lambda client: "" if beat(client).hold() else "not ours"),
    Case("leave the scheduler's lease", ticking, lambda client: beat(client).leave()),
    Case("send a tick", ticking, tick),
    Case("queue many", lambda _: None, enqueue_some),
]
