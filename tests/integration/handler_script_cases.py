"""One call for each script of the plain handlers, as a worker makes it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from headrace.bridge.scripts import script
from headrace.handlers.reservations import HERE, Kind, Reservations, Settling, Verdict
from tests.integration.refusal_bed import Act, Case, Prepare

Client = Any
P = "headrace:{test/handlers}"
BOOKS = frozenset(
    {(f"{P}:owners", "hash"), (f"{P}:attempts", "hash"), (f"{P}:leases", "zset"), (f"{P}:messages", "hash"),
     (f"{P}:busy", "hash"), ("letters", "list"), ("results", "list")}
)  # fmt: skip
KINDS = {
    "list": Kind(("polled", "list"), "source", ("list", "", "1"), P),
    "zset": Kind(("polled", "zset"), "source", ("zset", "", "1"), P),
    "hash": Kind(("polled", "hash"), "source", ("hash", "", "1"), P),
    "stream": Kind(("stream_id", "stream_group", "stream"), "source", ("shop", "headrace:me", "0-0"), P),
}


def reservations(client: Client, kind: str, token: str = "me") -> Reservations:
    found = Reservations(client, KINDS[kind], ["results", "letters"], 60)
    found._token = token
    return found


def fill(kind: str, client: Client) -> None:
    for number in range(4 if kind == "hash" else 8):  # of more fields some are taken by chance
        if kind == "list":
            client.lpush("source", f"m{number}")
        elif kind == "zset":
            client.zadd("source", {f"m{number}": number})
        elif kind == "hash":
            client.hset("source", f"m{number}", "x")
        else:
            client.xadd("source", {"m": number}, id=f"{number + 1}-0")


def taken(kind: str, client: Client) -> list[str]:
    """Half of it is held by us."""
    fill(kind, client)
    deliveries, _ = reservations(client, kind).take(4, fresh=True, orphans=False)
    return [delivery.id for delivery in deliveries]


def due(kind: str, client: Client) -> None:
    """Some of it was held by a process that is gone; of the stream another consumer took some."""
    fill(kind, client)
    gone = reservations(client, kind, "gone")
    gone._lease = -1000
    gone.take(4 if kind == "hash" else 2, fresh=True, orphans=False)
    if kind == "stream":
        client.xreadgroup("shop", "other", {"source": ">"}, count=2)
        ids = [entry["message_id"] for entry in client.xpending_range("source", "shop", "-", "+", 10, "other")]
        client.execute_command("XCLAIM", "source", "shop", "other", 0, *ids, "IDLE", 3_600_000)


def take(kind: str, client: Client) -> str:
    found, _ = reservations(client, kind).take(8, fresh=True, orphans=kind == "stream")
    return "" if found else "nothing"


def held(client: Client) -> list[str]:
    """The ids of what we hold."""
    return sorted(name.decode() for name in client.hgetall(f"{P}:owners"))


def verdicts(ids: Sequence[str]) -> list[Verdict]:
    one, other, third, fourth = ids
    return [
        Verdict(one, Settling.DONE, 0, 1, b"a result"),
        Verdict(other, Settling.DONE, 0, 2, b"a letter"),
        Verdict(third, Settling.RETRY, 1000),
        Verdict(fourth, Settling.BACK),
    ]


def settle(kind: str, but: Sequence[int], client: Client) -> str:
    wanted = [verdict for number, verdict in enumerate(verdicts(held(client))) if number not in but]
    return reservations(client, kind).settle(wanted)[1]


def settle_with_source_away(kind: str, client: Client) -> None:
    """What should go back to the source waits with us."""
    there = client.exists("source")
    if there:
        client.rename("source", "away")
    client.set("source", "x")
    assert settle(kind, (), client)
    client.delete("source")
    if there:
        client.rename("away", "source")


def renew(kind: str, client: Client) -> None:
    reservations(client, kind).renew(held(client))


def retire(client: Client) -> None:
    script(client, "retire", in_full=True, folder=HERE)(keys=["source"], args=["shop", "headrace:old", 0])


def consumers(client: Client) -> None:
    client.xgroup_create("source", "shop", mkstream=True)
    client.xgroup_createconsumer("source", "shop", "headrace:old")
    client.xgroup_createconsumer("source", "shop", "headrace:me")


def cases(kind: str) -> list[Case]:
    prepare: Prepare = partial(taken, kind)
    parts: list[Act] = [partial(settle, kind, but) for but in ((0,), (1,), (0, 1))]
    if kind != "stream":
        parts.append(partial(settle_with_source_away, kind))
    types = BOOKS | {("source", kind)}
    return [
        Case(f"take from a {kind}", partial(fill, kind), partial(take, kind), types=types),
        Case(f"take again from a {kind}", partial(due, kind), partial(take, kind), types=types),
        Case(f"settle what a {kind} held", prepare, partial(settle, kind, ()), tuple(parts), types),
        Case(f"renew what a {kind} held", prepare, partial(renew, kind), types=types),
    ]


CASES = [*(case for kind in KINDS for case in cases(kind)), Case("retire a consumer", consumers, retire)]
