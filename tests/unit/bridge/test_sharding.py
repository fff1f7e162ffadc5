"""Shards: which one an entry belongs to, and who moves how many."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.bridge import shard_key
from headrace.bridge.shares import fair_share


def test_a_key_has_its_shard_as_java_would_choose_it() -> None:
    assert shard_key("orders", "hello", 1) == "orders"
    assert shard_key("orders", "hello", 4) == f"orders:{99162322 % 4}"
    with pytest.raises(ValueError, match="shards is at least 1, not 0"):
        shard_key("orders", "hello", 0)


@given(st.sets(st.text(min_size=1), min_size=1, max_size=10), st.integers(1, 64))
def test_shares_are_even_and_every_shard_is_somebodys(replicas: set[str], shards: int) -> None:
    found = [fair_share(replica, list(replicas), shards) for replica in replicas]
    assert sum(found) == shards
    assert max(found) - min(found) <= 1
    assert fair_share("", list(replicas), shards) == 0
