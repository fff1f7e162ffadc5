"""What the operator asks a Celery broker that is not Valkey, and what it makes of the answers."""

import uuid
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import amqp
import pytest
import pytest_asyncio

from headrace.reconcile.celery_broker import ask_celery_broker
from headrace.reconcile.secrets import Credentials
from headrace.reconcile.verdicts import BrokerAuthenticationFailedError, BrokerUnreachableError
from testbed.loopback import free_ports
from testbed.rabbitmq import RabbitMQ
from testbed.sqs import SQS
from tests.unit.reconcile.bodies import body, resource

QUEUE = f"pricing-{uuid.uuid4().hex[:8]}"
KNOWN = Credentials(rabbitmq_username=RabbitMQ.username, rabbitmq_password=RabbitMQ.password)


def worker(broker: dict[str, Any]) -> Any:
    queues = [{"name": QUEUE}, {"name": "not-made-yet"}]
    return resource(body("ValkeyWorker", celery={"app": "a:b", "queues": queues, "broker": broker}))


def on_rabbitmq(url: str, virtual_host: str = "/") -> Any:
    auth = {"secretRef": {"name": "rabbitmq"}}
    return worker({"type": "RabbitMQ", "rabbitmq": {"url": url, "virtualHost": virtual_host, "auth": auth}})


@pytest_asyncio.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as made:
        yield made


async def test_rabbitmq_says_how_much_waits(rabbitmq: RabbitMQ, session: aiohttp.ClientSession) -> None:
    with amqp.Connection(f"127.0.0.1:{rabbitmq.port}", rabbitmq.username, rabbitmq.password) as connection:
        channel = connection.channel()
        channel.queue_declare(QUEUE, durable=True, auto_delete=False)
        channel.confirm_select()
        for _ in range(3):
            channel.basic_publish_confirm(amqp.Message("x"), routing_key=QUEUE)
    numbers = await ask_celery_broker(on_rabbitmq(rabbitmq.url), KNOWN, session)
    assert numbers is not None
    assert numbers.backlog == 3
    assert dict(numbers.queues) == {QUEUE: 3, "not-made-yet": 0}


async def test_p5_p6_what_rabbitmq_refuses_is_told_apart_and_names_no_password(
    rabbitmq: RabbitMQ, session: aiohttp.ClientSession
) -> None:
    wrong = Credentials(rabbitmq_username="me", rabbitmq_password="wrong-password")
    with pytest.raises(BrokerAuthenticationFailedError, match="refused the credentials") as refused:
        await ask_celery_broker(on_rabbitmq(rabbitmq.url), wrong, session)
    assert "wrong-password" not in str(refused.value)
    with pytest.raises(BrokerAuthenticationFailedError, match="vhost nowhere not found"):
        await ask_celery_broker(on_rabbitmq(rabbitmq.url, "nowhere"), KNOWN, session)
    with pytest.raises(BrokerUnreachableError, match=r"RabbitMQ at 127.0.0.1:.* does not answer"):
        await ask_celery_broker(on_rabbitmq(f"amqp://127.0.0.1:{free_ports(1)[0]}"), KNOWN, session)


async def test_p5_sqs_answers_or_does_not(sqs: SQS, session: aiohttp.ClientSession) -> None:
    block = {"region": sqs.region, "endpointUrl": sqs.url}
    assert await ask_celery_broker(worker({"type": "SQS", "sqs": block}), Credentials(), session) is None
    block["endpointUrl"] = f"http://127.0.0.1:{free_ports(1)[0]}"
    with pytest.raises(BrokerUnreachableError, match=r"SQS at 127.0.0.1:.* does not answer"):
        await ask_celery_broker(worker({"type": "SQS", "sqs": block}), Credentials(), session)
