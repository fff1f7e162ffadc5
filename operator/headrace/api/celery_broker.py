"""Which broker carries Celery's tasks. Results, outbox, dead letters and locks are in Valkey, whatever the broker."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Annotated

from pydantic import Field

from headrace.api.connection import SecretKeyReference, SecretReference, Url, host_and_port_url, no_credentials
from headrace.api.model import ApiModel, Rule

RABBITMQ_URL = host_and_port_url("amqps?")
SQS_ENDPOINT = host_and_port_url("https?")
_REGION = "^[a-z]{2}(-[a-z]+)+-[0-9]+$"
_SQS_NAME = "^[A-Za-z0-9_-]*$"
LONGEST_SQS_NAME = 80

RABBITMQ_KEYS = ("username", "password")
"""The keys that a Secret with RabbitMQ credentials has."""
SQS_KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
"""The keys that a Secret with AWS credentials has."""


class BrokerType(StrEnum):
    """What carries the tasks."""

    VALKEY = "Valkey"
    RABBITMQ = "RabbitMQ"
    SQS = "SQS"
    MEMORY = "Memory"


class RabbitMQAuth(ApiModel):
    """RabbitMQ credentials."""

    secret_ref: SecretReference
    """A Secret with the keys `username` and `password`, such as the one that RabbitMQ's own operator makes."""


class RabbitMQTls(ApiModel):
    """How the server's certificate is checked."""

    ca_secret_ref: SecretKeyReference
    """The CA certificate (PEM) that signed the server's certificate."""


class RabbitMQ(ApiModel):
    """Where RabbitMQ is. The queues are quorum queues."""

    rules = (
        no_credentials("url"),
        Rule(
            cel=f"self.url.contains('@') || self.url.matches('{RABBITMQ_URL}')",
            message="url must read amqp://HOST:PORT, or amqps:// for TLS, such as amqp://rabbitmq:5672;"
            " the virtual host is a field of its own",
            holds=lambda self: "@" in self.url or bool(re.match(RABBITMQ_URL, self.url)),
        ),
        Rule(
            cel="!has(self.tls) || self.url.startsWith('amqps://')",
            message="tls needs a url that begins with amqps://",
            holds=lambda self: self.tls is None or self.url.startswith("amqps://"),
        ),
    )

    url: Url
    """`amqp://HOST:PORT`, or `amqps://` for TLS. Port 5672, or 5671 for TLS, when left out."""
    virtual_host: Annotated[str, Field(min_length=1, max_length=255)] = "/"
    """The virtual host. Default `/`."""
    auth: RabbitMQAuth | None = None
    """Credentials; `guest` and `guest` when left out, which RabbitMQ takes from its own machine only."""
    tls: RabbitMQTls | None = None
    """Certificate checks for `amqps://`; the system's CAs when left out."""


class SQSAuth(ApiModel):
    """AWS credentials."""

    secret_ref: SecretReference
    """A Secret with the keys `AWS_ACCESS_KEY_ID` and `AWS_SECRET_ACCESS_KEY`."""


class SQS(ApiModel):
    """Where Amazon SQS is. Queues that do not exist are made when a worker starts."""

    rules = (
        Rule(
            cel=f"self.region.matches('{_REGION}')",
            message="region must be an AWS region, such as eu-central-1",
            holds=lambda self: bool(re.match(_REGION, self.region)),
        ),
        Rule(
            cel=f"!has(self.endpointUrl) || self.endpointUrl.matches('{SQS_ENDPOINT}')",
            message="endpointUrl must read https://HOST:PORT or http://HOST:PORT, such as http://localstack:4566",
            holds=lambda self: self.endpoint_url is None or bool(re.match(SQS_ENDPOINT, self.endpoint_url)),
        ),
        Rule(
            cel=f"!has(self.queueNamePrefix) || self.queueNamePrefix.matches('{_SQS_NAME}')",
            message="queueNamePrefix may hold letters, digits, - and _",
            holds=lambda self: bool(re.match(_SQS_NAME, self.queue_name_prefix)),
        ),
    )

    region: Annotated[str, Field(min_length=1, max_length=32)]
    """The AWS region, such as `eu-central-1`."""
    endpoint_url: Url | None = None
    """Where SQS answers; the region's own endpoint when left out."""
    queue_name_prefix: Annotated[str, Field(max_length=64)] = ""
    """Put before each queue's name, such as `shop-`. None when left out."""
    visibility_timeout_seconds: Annotated[int, Field(ge=1, le=43_200)] = 1800
    """After this long SQS hands an unacknowledged task out again; it must exceed the longest task. Default 1800."""
    auth: SQSAuth | None = None
    """Credentials; what the AWS SDK finds in the pod (its environment, its node's role) when left out."""


def _block_of(kind: BrokerType, block: str) -> Rule:
    return Rule(
        cel=f"has(self.{block}) == (has(self.type) && self.type == '{kind.value}')",
        message=f"type: {kind.value} needs the block {block}, and no other type has it",
        holds=lambda self: (getattr(self, block) is not None) == (self.type is kind),
    )


class Broker(ApiModel):
    """What carries the tasks: one field decides, the app stays the same."""

    rules = (_block_of(BrokerType.RABBITMQ, "rabbitmq"), _block_of(BrokerType.SQS, "sqs"))

    type: BrokerType = BrokerType.VALKEY
    """Valkey (the default), RabbitMQ, SQS, or Memory: the worker process alone, for trials and tests; nothing survives
    its end, and only tasks of the same process get in."""
    rabbitmq: RabbitMQ | None = None
    """Where RabbitMQ is, for `type: RabbitMQ`."""
    sqs: SQS | None = None
    """Where SQS is, for `type: SQS`."""
