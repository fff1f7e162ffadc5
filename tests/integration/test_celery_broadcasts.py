# mypy: disallow-untyped-calls=False
"""Asking workers: each question listens for its answers on the caller's connection, and leaves nothing there."""

from kombu.connection import Connection
from kombu.entity import Queue
from kombu.messaging import Consumer

import headrace.celery  # noqa: F401  makes valkey:// known
from testbed.valkey import Valkey


def test_a_channel_that_consumes_again_and_again_needs_no_more_connections(valkey: Valkey) -> None:
    with Connection(valkey.url) as connection, valkey.client() as client:
        channel = connection.channel()
        for number in range(30):
            with Consumer(channel, [Queue(f"reply-{number}", auto_delete=True)]):
                held = int(client.info("clients")["connected_clients"])
        assert held < 20
