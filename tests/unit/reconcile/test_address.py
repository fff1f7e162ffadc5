"""A Service named by one word is looked for in the resource's namespace."""

import pytest

from headrace.reconcile.address import seen_from_operator


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("valkey://valkey:6379/0", "valkey://valkey.shop:6379/0"),
        ("valkeys://valkey", "valkeys://valkey.shop"),
        ("http://pulsar:8080", "http://pulsar.shop:8080"),
        ("valkey://valkey.data:6379/1", "valkey://valkey.data:6379/1"),
        ("valkey://127.0.0.1:6379", "valkey://127.0.0.1:6379"),
        ("valkey://localhost:6379", "valkey://localhost:6379"),
    ],
)
def test_one_word_is_a_service_beside_the_resource(url: str, expected: str) -> None:
    assert seen_from_operator(url, "shop") == expected
