"""Shards: which one an entry belongs to, and who moves how many."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.bridge import java_string_hash, shard_key
from headrace.bridge.shares import fair_share


def test_a_key_has_its_shard_as_java_would_choose_it() -> None:
    assert shard_key("orders", "hello", 1) == "orders"
    assert shard_key("orders", "hello", 4) == f"orders:{99162322 % 4}"
    with pytest.raises(ValueError, match="shards is at least 1, not 0"):
        shard_key("orders", "hello", 0)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("", 0),
        ("hello", 99162322),
        ("order-1", 940372338),
        ("AaAa", 2031744),
        ("BBBB", 2031744),
        ("äöü", 226986),
        ("\U0001f600", 1772899),
        ("x\U0001f600y", 58534910),
        ("polygenelubricants", 0),  # Integer.MIN_VALUE, without its sign
        ("18446744073709551617", 1823116551),
        ('{"a":2,"b":1}', 863832592),
    ],
)
def test_a_key_has_the_hash_that_pulsar_s_java_client_gives_it(key: str, value: int) -> None:
    """The values are those of ``JavaStringHash.makeHash`` in pulsar-client 4.0.7."""
    assert java_string_hash(key) == value


@given(st.sets(st.text(min_size=1), min_size=1, max_size=10), st.integers(1, 64))
def test_shares_are_even_and_every_shard_is_somebodys(replicas: set[str], shards: int) -> None:
    found = [fair_share(replica, list(replicas), shards) for replica in replicas]
    assert sum(found) == shards
    assert max(found) - min(found) <= 1
    assert fair_share("", list(replicas), shards) == 0
