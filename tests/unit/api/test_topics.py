"""What names and numbers of topics say."""

import pytest

from headrace.api.topic import base_topic, waiting_messages, whole_topics


@pytest.mark.parametrize(
    ("subscription", "messages"),
    [
        ({}, 0),
        ({"msgBacklog": 7}, 7),
        ({"msgBacklog": 7, "consumers": []}, 7),
        ({"msgBacklog": 7, "consumers": [{"avgMessagesPerEntry": 0}]}, 7),
        ({"msgBacklog": 7, "consumers": [{"avgMessagesPerEntry": 0}, {"avgMessagesPerEntry": 100}]}, 700),
    ],
)
def test_messages_wait_not_the_brokers_entries(subscription: dict[str, object], messages: int) -> None:
    assert waiting_messages(subscription) == messages


def test_a_partitioned_topic_has_one_name() -> None:
    name = "persistent://a/b/orders"
    parts = [f"{name}-partition-{number}" for number in range(2)]
    assert whole_topics([*parts, "persistent://a/b/other"], [name]) == [name, "persistent://a/b/other"]
    assert base_topic(parts[1]) == name
