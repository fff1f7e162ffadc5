"""What we use of Pulsar's Python client, typed: the library itself has no types."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import _pulsar
import pulsar

library: Any = pulsar
"""The library."""

core: Any = _pulsar
"""Its C++ core, where messages can be built and received without a Python object around each."""

PulsarError: type[Exception] = core.PulsarException
"""What the client raises."""

PulsarTimeoutError: type[Exception] = core.Timeout
TopicNotFoundError: type[Exception] = core.TopicNotFound
AuthorizationError: type[Exception] = core.AuthorizationError
IncompatibleSchemaError: type[Exception] = core.IncompatibleSchema
NotConnectedError: type[Exception] = core.NotConnected


class OwnSchema(library.schema.BytesSchema):  # type: ignore[misc]
    """The schema of a topic, for a producer that sends nothing by the library."""

    def __init__(self, client: Client, topic: str) -> None:
        """Raises ``PulsarError``."""
        super().__init__()
        self._info = client._client.get_schema_info(topic, -1)

    def schema_info(self) -> Any:
        """What the library asks."""
        return self._info


class MessageId(Protocol):
    """Where a message lies; of the core."""

    def __lt__(self, other: MessageId) -> bool: ...

    def ledger_id(self) -> int: ...

    def entry_id(self) -> int: ...

    def batch_index(self) -> int: ...

    def partition(self) -> int: ...


class Message(Protocol):
    """A received message; of the core."""

    def message_id(self) -> MessageId: ...

    def topic_name(self) -> str: ...

    def data(self) -> bytes: ...

    def partition_key(self) -> str: ...

    def ordering_key(self) -> str: ...

    def has_null_value(self) -> bool: ...

    def int_schema_version(self) -> int: ...

    def properties(self) -> dict[str, str]: ...

    def event_timestamp(self) -> int: ...

    def publish_timestamp(self) -> int: ...

    def producer_name(self) -> str: ...


class CoreProducer(Protocol):
    """A producer's core."""

    def send_async(self, message: Any, callback: Callable[[Any, Any], None] | None) -> None: ...


class Producer(Protocol):
    """A producer."""

    _producer: CoreProducer

    def send_async(self, content: bytes, callback: Callable[[Any, Any], None], **options: Any) -> None: ...

    def flush(self) -> None: ...

    def last_sequence_id(self) -> int: ...

    def is_connected(self) -> bool: ...

    def close(self) -> None: ...


class CoreConsumer(Protocol):
    """A consumer's core."""

    def receive(self, timeout_millis: int) -> Message: ...

    def batch_receive(self) -> Sequence[Message]: ...

    def acknowledge(self, message: Message | MessageId) -> None: ...

    def acknowledge_cumulative(self, message_id: MessageId) -> None: ...


class Consumer(Protocol):
    """A consumer."""

    _consumer: CoreConsumer

    def get_last_message_id(self) -> MessageId: ...

    def is_connected(self) -> bool: ...

    def close(self) -> None: ...


class Reader(Protocol):
    """A reader; it knows no subscription."""

    def seek(self, milliseconds: int) -> None: ...

    def has_message_available(self) -> bool: ...

    def read_next(self, timeout_millis: int) -> Message: ...

    def close(self) -> None: ...


class ServiceInfo(Protocol):
    """Where a client connects to."""

    service_url: str
    tls_trust_certs_file_path: str | None


class CoreClient(Protocol):
    """A client's core."""

    def get_service_info(self) -> ServiceInfo: ...

    def get_schema_info(self, topic: str, version: int) -> Any: ...


class Client(Protocol):
    """A client."""

    _client: CoreClient

    def get_topic_partitions(self, topic: str) -> list[str]: ...

    def create_producer(self, topic: str, **options: Any) -> Producer: ...

    def subscribe(self, topic: str | list[str], subscription: str, **options: Any) -> Consumer: ...

    def create_reader(self, topic: str, start_message_id: Any, **options: Any) -> Reader: ...

    def close(self) -> None: ...


def properties_of(message: Message) -> dict[str, str]:
    """The properties of *message*; none when the client cannot give them out, as they are not UTF-8."""
    try:
        return message.properties()
    except UnicodeDecodeError:
        return {}
