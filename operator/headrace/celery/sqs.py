# mypy: disallow-untyped-calls=False
"""kombu's SQS transport, which here says what was delivered before, and lets SQS hold back what is not due yet."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Any

from botocore.exceptions import ClientError
from kombu.transport import SQS as sqs  # noqa: N811 - a module
from kombu.transport.SQS import MAX_DELAY_SECONDS


def delay_seconds(headers: dict[str, Any], now: datetime) -> int:
    """How long SQS is to hold a task with these headers back; 0 when it is due."""
    try:
        eta = datetime.fromisoformat(headers["eta"])
    except (KeyError, TypeError, ValueError):
        return 0
    wait = (eta if eta.tzinfo else eta.replace(tzinfo=UTC)) - now
    return min(max(math.ceil(wait.total_seconds()), 0), MAX_DELAY_SECONDS)


class Channel(sqs.Channel):
    """What kombu leaves out: SQS counts deliveries, holds messages back, and takes a visibility timeout per request."""

    def _envelope_payload(self, payload: Any, raw_text: str, message: Any, q_url: str) -> Any:
        payload = super()._envelope_payload(payload, raw_text, message, q_url)
        deliveries = int(message.get("Attributes", {}).get("ApproximateReceiveCount", 1))
        payload["properties"]["delivery_info"]["redelivered"] = deliveries > 1
        return payload

    def _put(self, queue: str, message: Any, **kwargs: Any) -> None:
        if message.get("redelivered"):  # given back: SQS has it still, and hands it out again at once
            handle = message["properties"]["delivery_tag"]
            client, url = self.sqs(queue=self.canonical_queue_name(queue)), self._new_queue(queue)
            client.change_message_visibility(QueueUrl=url, ReceiptHandle=handle, VisibilityTimeout=0)
            return
        # A worker that held it would have to acknowledge it before the visibility timeout ends.
        if wait := delay_seconds(message.get("headers") or {}, datetime.now(UTC)):
            message["properties"].setdefault("DelaySeconds", wait)
        super()._put(queue, message, **kwargs)

    def _receive_message(
        self, queue: str, max_number_of_messages: int = 1, wait_time_seconds: int | None = None
    ) -> Any:
        return self.sqs(queue=queue).receive_message(
            QueueUrl=self._new_queue(queue),
            MaxNumberOfMessages=max_number_of_messages,
            WaitTimeSeconds=wait_time_seconds or self.wait_time_seconds,
            VisibilityTimeout=self.visibility_timeout,  # the queue's own may have been set by others
            MessageSystemAttributeNames=["ApproximateReceiveCount"],
        )

    def _get_from_sqs(
        self, queue_name: str, queue_url: str, connection: Any, count: int = 1, callback: Any = None
    ) -> Any:
        return connection.receive_message(
            queue_name,
            queue_url,
            number_messages=count,
            visibility_timeout=self.visibility_timeout,
            wait_time_seconds=self.wait_time_seconds,
            callback=callback,
        )


class Transport(sqs.Transport):
    """kombu's, with our channel. What SQS refuses, even the credentials, is tried again: time or a person mends it."""

    Channel = Channel
    connection_errors = (*sqs.Transport.connection_errors, ClientError)  # type: ignore[assignment]
    channel_errors = (*sqs.Transport.channel_errors, ClientError)  # type: ignore[assignment]
