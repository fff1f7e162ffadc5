"""What the tests do inside the cluster: publish, read back, look into Valkey. Speaks JSON lines."""

import json
import sys
from collections.abc import Callable

import pulsar
import valkey

PULSAR = "pulsar://pulsar:6650"
VALKEY = "valkey://valkey:6379/0"


def client() -> pulsar.Client:
    return pulsar.Client(PULSAR, logger=pulsar.FileLogger(pulsar.LoggerLevel.Warn, "/tmp/pulsar.log"))


def publish(topic: str) -> None:
    """Each line of standard input is a payload, as it is."""
    pulsar_client = client()
    producer = pulsar_client.create_producer(topic)
    for line in sys.stdin.buffer:
        producer.send(line.rstrip(b"\n"))
    pulsar_client.close()


def read(topic: str) -> None:
    """Every message of a topic from its first one to its last one now."""
    pulsar_client = client()
    reader = pulsar_client.create_reader(topic, pulsar.MessageId.earliest)
    while reader.has_message_available():
        message = reader.read_next(30_000)
        data = message.data()
        text = data.decode() if len(data) < 10_000 else f"{len(data)} bytes"
        print(json.dumps({"payload": text, "key": message.partition_key(), "properties": message.properties()}))
    pulsar_client.close()


def push(key: str) -> None:
    """Each line of standard input is an entry of the list, as it is."""
    connection = valkey.Valkey.from_url(VALKEY)
    for line in sys.stdin.buffer:
        connection.lpush(key, line.rstrip(b"\n"))


def push_large(key: str, size: str) -> None:
    """One entry of so many bytes."""
    valkey.Valkey.from_url(VALKEY).lpush(key, b"x" * int(size))


def execute(*arguments: str) -> None:
    """One command to Valkey."""
    connection = valkey.Valkey.from_url(VALKEY, decode_responses=True)
    reply = connection.execute_command(*arguments)  # type: ignore[no-untyped-call]
    print(json.dumps(reply))


COMMANDS: dict[str, Callable[..., None]] = {
    "publish": publish,
    "read": read,
    "push": push,
    "push-large": push_large,
    "valkey": execute,
}

if __name__ == "__main__":
    COMMANDS[sys.argv[1]](*sys.argv[2:])
