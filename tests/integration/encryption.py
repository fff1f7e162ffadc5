"""Producers whose messages nobody can read here."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pulsar as pulsar_library

from testbed.pulsar import Pulsar


def key_pair(folder: Path) -> pulsar_library.CryptoKeyReader:
    """A key pair that nobody else knows of."""
    private, public = folder / "private.pem", folder / "public.pem"
    subprocess.run(["openssl", "genrsa", "-out", private, "2048"], check=True, capture_output=True)
    subprocess.run(["openssl", "rsa", "-in", private, "-pubout", "-out", public], check=True, capture_output=True)
    return pulsar_library.CryptoKeyReader(str(public), str(private))


@contextmanager
def encrypting(
    broker: Pulsar, topic: str, keys: pulsar_library.CryptoKeyReader, **options: Any
) -> Iterator[pulsar_library.Producer]:
    """A producer whose messages the bridge cannot read."""
    client = pulsar_library.Client(
        broker.service_url, logger=pulsar_library.ConsoleLogger(pulsar_library.LoggerLevel.Error)
    )
    try:
        yield client.create_producer(topic, encryption_key="ours", crypto_key_reader=keys, **options)
    finally:
        client.close()


def send_many(
    broker: Pulsar, topic: str, keys: pulsar_library.CryptoKeyReader, count: int, *, batched: bool = False
) -> None:
    """Publish *count* encrypted messages; batched, 50 in each entry."""
    options: dict[str, Any] = {"batching_enabled": batched, "block_if_queue_full": True}
    if batched:
        options |= {"batching_max_messages": 50, "batching_max_publish_delay_ms": 60_000}
    with encrypting(broker, topic, keys, **options) as producer:
        for _ in range(count):
            producer.send_async(b"secret", lambda *_: None)
        producer.flush()
