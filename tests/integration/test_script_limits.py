"""What scripts meet at the edges: thousands of arguments, numbers that Lua cannot hold, values that are no numbers."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
import valkey as valkey_library
from valkey.exceptions import ResponseError

from headrace.api.policy import MOST_MESSAGES
from headrace.bridge.batch import Batch, Item
from headrace.bridge.delivery import DeliveryStore
from headrace.bridge.scripts import script
from headrace.bridge.target import Target, row
from testbed.valkey import Valkey
from tests.integration.bridge_script_cases import LIST, ROUTING, Id, P, bucket, cut_store, letter, owned, remembered

LISTS = Target("target", ("target_list",))
STREAM = Target("target", ("row", "target_stream"))


@pytest.fixture
def client(valkey: Valkey) -> Iterator[Any]:
    connect: Any = valkey_library.Valkey
    with connect(host=valkey.host, port=valkey.port) as one:
        yield one


def store(client: Any, target: Target = LISTS, *, spread: bool = False, limited: bool = False) -> DeliveryStore:
    found = DeliveryStore(
        client,
        remembered(client),
        target=target,
        prefix=P,
        window_seconds=2**31 - 1,
        ttl_seconds=2**31 - 1,
        cache_prefix="cache:",
        spread=spread,
        bucket=bucket(limited=limited),
    )
    found.load()
    return found


def batch(entries: list[Any], partition: str = "topic") -> Batch:
    ids: list[Any] = [Id(number) for number in range(len(entries))]
    return Batch([partition] * len(entries), ids, entries)


def keyed(entry: bytes, **keys: Any) -> Item:
    item = Item(entry, **keys)
    item.refused = partial(letter, item)
    return item


@pytest.mark.parametrize("spread", [False, True])
@pytest.mark.parametrize("what", ["entries", "deduplicated", "cached", "letters"])
def test_p1_p2_the_largest_batch_that_the_api_allows_is_pushed_whole(client: Any, spread: bool, what: str) -> None:
    numbers = range(MOST_MESSAGES)
    makers: dict[str, Callable[[], list[Any]]] = {
        "entries": lambda: [b"x"] * MOST_MESSAGES,
        "deduplicated": lambda: [keyed(b"x", deduplication_key=f"{P}:seen:{number}") for number in numbers],
        "cached": lambda: [keyed(b"x", cache_key=f"cache:{number}", cache_value=b"x") for number in numbers],
        "letters": lambda: [Item(dead_letter=b"x", reason="InvalidJSON") for _ in numbers],
    }
    entries = makers[what]()
    delivered = store(client, spread=spread).push(batch(entries))
    assert len(delivered.rest) == 0
    assert client.llen(f"{P}:dead-letters" if what == "letters" else "target") == MOST_MESSAGES
    again = store(client, spread=spread).push(batch(entries))
    assert (len(again.rest), again.duplicates) == (0, MOST_MESSAGES)


def test_p1_a_watermark_of_thousands_of_partitions_is_read_again(client: Any) -> None:
    stale = store(client)
    client.hset(f"{P}:watermark", mapping={f"partition-{number}": "1:1:-1" for number in range(5000)})
    client.hset(f"{P}:watermark", "topic", "1:0:-1")
    delivered = stale.push(batch([b"before", b"after"]))
    assert (delivered.duplicates, client.lrange("target", 0, -1)) == (1, [b"after"])


def test_p1_p2_a_stream_at_its_largest_id_takes_nothing_and_nothing_counts_as_seen(client: Any) -> None:
    largest = 2**64 - 1
    client.xadd("target", {"x": "y"}, id=f"{largest}-{largest - 1}")  # one more would find room
    entries = [keyed(row((b"number", b"%d" % number)), deduplication_key=f"{P}:seen:{number}") for number in range(3)]
    one = store(client, STREAM)
    for _ in range(3):
        with pytest.raises(ResponseError, match="exhausted"):
            one.push(batch(list(entries)))
        assert client.xlen("target") == 1
        assert client.keys(f"{P}:*") == []
    client.delete("target")
    assert one.push(batch(list(entries))).duplicates == 0
    assert [fields[b"number"] for _, fields in client.xrange("target")] == [b"0", b"1", b"2"]


def test_p1_p7_a_cache_key_that_names_a_key_of_the_bridge_is_refused(client: Any) -> None:
    target = Target("cache:target", ("target_list",))
    entries = [
        keyed(b"one", cache_key="cache:1", cache_value=b"1"),
        keyed(b"bad", cache_key="cache:target", cache_value=b"2"),
        keyed(b"two", cache_key="cache:2", cache_value=b"3"),
    ]
    delivered = store(client, target).push(batch(list(entries)))
    assert [item.reason for _, item in delivered.refused] == ["WrongType"]
    assert client.lrange("cache:target", 0, -1) == [b"two", b"one"]


def test_p1_trimming_compares_ids_above_what_lua_can_count(client: Any) -> None:
    owned(client)
    first = 2**53
    ids = [f"{first + number}-{number}" for number in range(6)]
    for name in ids:
        client.xadd("orders", {"x": "y"}, id=name)
    # as floating-point numbers the two are the same
    client.xgroup_create("orders", "ahead", ids[1])
    client.xgroup_create("orders", "behind", ids[0])
    script(client, "fence", "stream_id", "trim")(keys=["orders", f"{P}:owner"], args=["token"])
    found = client.xreadgroup("behind", "one", {"orders": ">"})[0][1]
    assert [name.decode() for name, _ in found] == ids[1:]


@pytest.mark.parametrize("last", ["abc", "1.5", "", "9" * 30, str(2**53 - 1)])
def test_p1_a_cut_is_refused_whole_when_its_ids_cannot_be_counted(client: Any, last: str) -> None:
    owned(client)
    client.rpush("orders", "one", "two")
    client.hset(f"{P}:cut-state", "last", last)
    with pytest.raises(ResponseError, match=r"no whole number|2\^53"):
        cut_store(client, LIST).next(ROUTING, 0, 100)
    assert client.lrange("orders", 0, -1) == [b"one", b"two"]
    assert client.exists(f"{P}:cut", f"{P}:cuts") == 0


@pytest.mark.parametrize("garbage", ["abc", "", "x" * 100])
def test_p5_a_bucket_that_holds_no_numbers_is_a_full_one(client: Any, garbage: str) -> None:
    client.hset(f"{P}:rate", mapping={"tokens": garbage, "at": garbage})
    assert len(store(client, limited=True).push(batch([b"x"] * 50)).rest) == 0
