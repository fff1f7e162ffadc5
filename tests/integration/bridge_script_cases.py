"""One call for each script of the bridge, as the bridge makes it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

from headrace.api.bridge_source import ListSource, StreamSource, ValkeySource
from headrace.api.policy import Batching, RateLimit
from headrace.bridge.batch import Batch, Item
from headrace.bridge.cut import Cut, CutStore
from headrace.bridge.delivered_ids import DeliveredIds
from headrace.bridge.delivery import DeliveryStore
from headrace.bridge.incarnation import Witness
from headrace.bridge.lease import Lease
from headrace.bridge.metrics import BridgeMetrics
from headrace.bridge.publication import hybrid_publish
from headrace.bridge.rate_limit import TokenBucket
from headrace.bridge.remembered import Memory, Remembered
from headrace.bridge.routing import EntryFormat, Routing
from headrace.bridge.routing import Target as Topic
from headrace.bridge.scripts import script
from headrace.bridge.source import open_source
from headrace.bridge.target import Target, row
from headrace.process.needs import Need, Needs
from tests.integration.refusal_bed import Act, Case

Client = Any
P = "headrace:{test/scripts}"
ROUTING = Routing(Topic("sink", 0), Topic("dead", 0), EntryFormat.RAW, None, "PulsarBridge/test/scripts")


def lease(client: Client) -> Lease:
    one = Lease(client, P)
    one.token = "token"
    return one


def owned(client: Client) -> None:
    client.set(f"{P}:owner", "token")


def bucket(limited: bool) -> TokenBucket:
    return TokenBucket(RateLimit(per_second=10, burst=100) if limited else None, P, BridgeMetrics())


# Leases, breakers, replicas


def acquire(client: Client) -> str:
    return "" if lease(client).acquire() else "another replica holds the lease"


def ask(client: Client) -> None:
    Needs(
        client, [Need("target", "list", ("LPUSH", "target", "")), Need("c", "", ("PUBLISH", "c", ""))], in_full=False
    ).prove()


def identify(client: Client) -> None:
    script(client, "preflight", "identify", in_full=True)(keys=[f"{P}:identity"], args=["uid", 6000, "name"])


def claim(client: Client) -> str:
    holder = script(client, "claim", in_full=True)(keys=[f"{P}:claim"], args=["me", 6000])
    return "" if holder == b"me" else "another's"


def breaker(after: str, client: Client) -> str:
    found = script(client, "breaker")(keys=[f"{P}:breaker"], args=["topic", "before", after])
    return "" if found.decode() == after else "another state"


def heartbeat(milliseconds: int, client: Client) -> None:
    script(client, "preflight", "heartbeat", in_full=True)(keys=[f"{P}:replicas"], args=["me", milliseconds])


# Cuts


def cut_store(client: Client, source: ValkeySource, limited: bool = False) -> CutStore:
    mine = lease(client)
    at = open_source(client, source, P, mine)
    return CutStore(client, at, P, mine, Batching(max_bytes=1024), bucket(limited), "announced")


def next_cut(source: ValkeySource, limited: bool, client: Client) -> str:
    cuts = cut_store(client, source, limited).next(ROUTING, 0, 100)
    return "" if cuts else "no cut"


LIST = ValkeySource(list=ListSource(key="orders"))
STREAM = ValkeySource(stream=StreamSource(key="orders", group="shop"))


def filled_list(client: Client) -> None:
    owned(client)
    client.rpush("orders", "x" * 800, *(f"entry {number}" for number in range(30)))


def filled_stream(client: Client, *, group: bool = True) -> None:
    owned(client)
    for number in range(30):
        client.xadd("orders", {"number": number})
    if group:
        client.xgroup_create("orders", "shop", "0")
        client.xreadgroup("shop", "other", {"orders": ">"}, count=3)
        # taken an hour ago and left
        client.execute_command("XCLAIM", "orders", "shop", "other", 0, *pending(client), "IDLE", 3_600_000)


def pending(client: Client) -> list[str]:
    return [entry["message_id"] for entry in client.xpending_range("orders", "shop", "-", "+", 10)]


def flying(client: Client) -> None:
    owned(client)
    client.rpush(f"{P}:cut", "first", "second", "third")
    client.rpush(f"{P}:cuts", *(f"{row} 1700000000000 ".encode() + ROUTING.to_wire() for row in ("7 2", "9 1")))


def commit_in_silence(client: Client) -> None:
    cut_store(client, LIST).commit(Cut(7, ROUTING, 0, False, [b"first", b"second"]))


def commit(client: Client) -> str:
    cut = Cut(7, ROUTING, 0, False, [b"first", b"second"])
    _, refusal = cut_store(client, LIST).commit(cut, [b"first", b"second"])
    return refusal


def reroute(client: Client) -> str:
    cuts = [Cut(7, ROUTING, 0, True, [b"first", b"second"]), Cut(9, ROUTING, 0, True, [b"third"])]
    other = replace(ROUTING, sink=Topic("sink", 4))
    return "" if cut_store(client, LIST).reroute(cuts, [other, other], 100) else "other cuts are in flight"


def trim(client: Client) -> None:
    script(client, "fence", "stream_id", "trim")(keys=["orders", f"{P}:owner"], args=["token"])


# Channels


def join(client: Client) -> None:
    script(client, "preflight", "join")(keys=[f"{P}:received-state"], args=["marks"])


def put(client: Client) -> str:
    keys = [f"{P}:received", f"{P}:received-state", f"{P}:owner"]
    arguments: list[Any] = ["token", "marks", "", "1 3", 100, 10_000_000, "a", "b", "c"]
    refused = script(client, "preflight", "put")(keys=keys, args=arguments)
    return f"{refused} found no room" if refused else ""


def publication(client: Client) -> str:
    done = hybrid_publish(client, b"payload", channel="news", outbox="outbox", message_id="1")
    return "" if done.queued else "seen before"


# Deliveries


class Id:
    """A message id, without Pulsar."""

    def __init__(self, entry: int) -> None:
        self._entry = entry

    def ledger_id(self) -> int:
        return 1

    def entry_id(self) -> int:
        return self._entry

    def batch_index(self) -> int:
        return -1

    def __lt__(self, other: Id) -> bool:
        return self._entry < other._entry


class Received:
    """A message of which a witness can be made."""

    def __init__(self, identity: Id) -> None:
        self._identity = identity

    def message_id(self) -> Id:
        return self._identity

    def data(self) -> bytes:
        return b"payload"

    def publish_timestamp(self) -> int:
        return 1

    def producer_name(self) -> str:
        return "shop"


def letter(entry: Item, reason: str, error: str) -> Item:
    return Item(dead_letter=f"letter of {entry.entry.decode()!r}".encode(), reason=reason)


def items() -> list[Any]:
    """A message without keys, with each kind, with both, seen before, seen in this very batch; a dead letter."""
    found = [
        Item(row((b"a", b"1"))),
        Item(row((b"b", b"2")), deduplication_key=f"{P}:seen:b"),
        Item(row((b"c", b"3")), cache_key="cache:c", cache_value=b"3"),
        Item(row((b"d", b"4")), deduplication_key=f"{P}:seen:d", cache_key="cache:d", cache_value=b"4"),
        Item(row((b"e", b"5")), deduplication_key=f"{P}:seen:before"),
        Item(row((b"f", b"6")), deduplication_key=f"{P}:seen:b"),
        Item(dead_letter=b"a letter", reason="InvalidJSON"),
    ]
    return [replace(item, refused=partial(letter, item)) for item in found]


def seen(client: Client) -> None:
    client.set(f"{P}:seen:before", "1", ex=100)


def push(target: Target, spread: bool, entries: Callable[[], list[Any]], client: Client) -> str:
    store = DeliveryStore(
        client, remembered(client), target=target, prefix=P, window_seconds=100, ttl_seconds=100,
        cache_prefix="cache:", spread=spread, bucket=bucket(True),
    )  # fmt: skip
    store.load()
    found = entries()
    ids: list[Any] = [Id(number) for number in range(len(found))]
    messages: list[Any] = [Received(each) for each in ids]
    delivered = store.push(Batch(["topic"] * len(found), ids, found, messages))
    problems = [f"{item.reason}" for _, item in delivered.refused]
    return " ".join(problems + ["no room"] * bool(delivered.rest))


TARGETS = {
    "list": Target("target", ("target_list",), limit=100),
    "stream": Target("target", ("row", "target_stream"), limit=100),
    "hash": Target("target", ("row", "target_hash")),
    "channel": Target("target", ("target_channel",), is_channel=True),
}


def without(places: tuple[int, ...], target: Target, spread: bool) -> Act:
    """The batch with letters in place of some messages, which Valkey refuses by their own keys."""

    def entries() -> list[Any]:
        return [item.refused("", "") if place in places else item for place, item in enumerate(items())]

    return partial(push, target, spread, entries)


def deliveries() -> list[Case]:
    types = frozenset(
        {
            (f"{P}:watermark", "hash"),
            (f"{P}:beginning", "hash"),
            (f"{P}:dead-letters", "list"),
            (f"{P}:seen:before", "string"),
        }
    )
    found = []
    for name, target in TARGETS.items():
        for spread in (False, True):
            how = f"deliver to a {name}, {'spread' if spread else 'ordered'}"
            rows = [row((b"a", b"1")), row((b"b",) if name == "hash" else (b"b", b"2"))]
            plain: Act = partial(push, target, spread, partial(list, rows))
            letters = tuple(without(places, target, spread) for places in ((1, 5), (2,), (3,), (4,)))
            found += [
                Case(f"{how}, plain", lambda _: None, plain, types=types),
                Case(f"{how}, with keys", seen, partial(push, target, spread, items), letters, types),
            ]
    return found


def remembered(client: Client) -> Remembered:
    """Of the bridge's only subscription: its name is no part of what a script does."""
    found = Remembered(client, P, "shop")
    found._base = P
    return found


def lift(client: Client) -> None:
    pushed = Memory(witnesses={"topic": Witness((9, 9, -1), "digest", (9, 9))})
    DeliveredIds(client, remembered(client)).lift(pushed, {"topic": (3, 7)})


def known(client: Client) -> None:
    client.hset(f"{P}:watermark", "topic", "3:7:-1")
    client.zadd(f"{P}:delivered:topic", {"\x00": 0})


def forget(client: Client) -> None:
    remembered(client).forget("topic", 0)


# Replays


def note(client: Client) -> None:
    keys = [f"{P}:owner", f"{P}:lease", f"{P}:replay:1"]
    script(client, "preflight", "replay_note")(keys=keys, args=["token", 6000, "phase", "Running", "id", "1"])


def half_done(client: Client) -> None:
    owned(client)
    client.hset(f"{P}:replay:1", "matched", "1")


def under_way(client: Client) -> None:
    half_done(client)
    client.hset(f"{P}:replays:flight", mapping={"run": "1", "since": "1", "letters": "[]"})


def settle(place: tuple[str, str, str], client: Client) -> None:
    keys = [f"{P}:owner", f"{P}:lease", f"{P}:replay:1", f"{P}:replayed", f"{P}:replays:flight"]
    arguments: list[Any] = ["token", 6000, *place, 3, 1, 1, 1, 86_400_000, 100, "1:1", "1:2", "1:3"]
    assert script(client, "preflight", "replay_settle")(keys=keys, args=arguments) >= 0


LEASE, OWNER = f"{P}:lease", f"{P}:owner"
CASES = [
    Case("ask for what will be needed", lambda _: None, ask),
    Case("claim the keys", lambda _: None, identify),
    Case("claim a source", lambda _: None, claim),
    Case("take the lease", lambda _: None, acquire, overwritten=frozenset({OWNER})),
    Case("renew the lease", owned, lambda client: lease(client).renew(), overwritten=frozenset({LEASE})),
    Case("give the lease up", owned, lambda client: lease(client).release(), overwritten=frozenset({LEASE})),
    Case("a breaker opens", lambda client: client.hset(f"{P}:breaker", "topic", "before"), partial(breaker, "after")),
    Case("a breaker closes", lambda client: client.hset(f"{P}:breaker", "topic", "before"), partial(breaker, "")),
    Case("a replica lives", lambda client: client.zadd(f"{P}:replicas", {"old": 1}), partial(heartbeat, 6000)),
    Case("a replica goes", lambda client: client.zadd(f"{P}:replicas", {"me": 1}), partial(heartbeat, 0)),
    *(
        Case(f"cut {name}", prepare, partial(next_cut, source, limited), overwritten=frozenset({LEASE}))
        for limited in (False, True)
        for name, prepare, source in (
            (f"a list, {limited=}", filled_list, LIST),
            (f"a stream, {limited=}", filled_stream, STREAM),
            (f"a stream without its group, {limited=}", partial(filled_stream, group=False), STREAM),
        )
    ),
    Case("cut what is in flight", flying, partial(next_cut, LIST, False), overwritten=frozenset({LEASE})),
    Case("commit", flying, commit, (commit_in_silence,), overwritten=frozenset({LEASE})),
    Case("give cuts other routes", flying, reroute, overwritten=frozenset({LEASE})),
    Case("trim a stream", filled_stream, trim),
    Case("join the channels", lambda client: client.hset(f"{P}:received-state", "put", "1 2"), join),
    Case("put what channels sent", owned, put),
    Case("publish to both", lambda _: None, publication),
    *deliveries(),
    Case("lift the watermark", lambda client: client.zadd(f"{P}:delivered:topic", {"\x00": 0}), lift),
    Case("forget a topic", known, forget),
    Case("note a replay", owned, note, overwritten=frozenset({LEASE})),
    Case("settle letters", under_way, partial(settle, ("at topic", "", "1:3:-1")), overwritten=frozenset({LEASE})),
    Case("land a flight", under_way, partial(settle, ("", "", "")), overwritten=frozenset({LEASE})),
]
