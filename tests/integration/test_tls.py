"""TLS to every broker, for real: a given CA or the system's, and certificates that must not be taken."""

import json
import os
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import celery
import kombu
import pytest
import redis

import headrace.celery  # noqa: F401 - makes `valkeys://` known
from headrace.api.tls import tls_context
from headrace.pulsar.errors import PulsarUnreachableError
from headrace.reconcile import valkey_numbers
from headrace.reconcile.brokers import Brokers
from headrace.reconcile.celery_broker import ask_celery_broker
from headrace.reconcile.secrets import Credentials
from headrace.reconcile.valkey_numbers import ask_valkey
from headrace.reconcile.verdicts import BrokerUnreachableError, ValkeyUnreachableError
from testbed.certificates import KeyPair, certificate_authority, signed
from testbed.loopback import free_ports
from testbed.pulsar import Pulsar
from testbed.rabbitmq import RabbitMQ
from testbed.valkey import Valkey
from tests.faults.proxy import Proxy
from tests.integration.dataplane import Headrace, Processes, create_topic, payloads, publish, wait_for
from tests.integration.dataplane import resource as document
from tests.unit.reconcile.bodies import body, resource

HOST = "localhost"
REFUSED = "certificate"


@dataclass(frozen=True)
class Authorities:
    """Ours, which signed the certificate of `localhost`, and one that signed nothing."""

    ours: KeyPair
    stranger: KeyPair
    server: KeyPair

    @property
    def context(self) -> ssl.SSLContext:
        """What a server of ours speaks."""
        made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        made.load_cert_chain(self.server.certificate, self.server.key)
        return made

    @property
    def ca(self) -> str:
        """Our CA's certificate, in a bundle with comments."""
        return f"# Főtanúsítvány\n{self.ours.certificate.read_text()}"


@pytest.fixture(scope="module")
def authorities(tmp_path_factory: pytest.TempPathFactory) -> Authorities:
    folder = tmp_path_factory.mktemp("certificates")
    ours, stranger = (certificate_authority(folder, name, name) for name in ("ours", "stranger"))
    return Authorities(ours, stranger, signed(folder, "server", "/CN=server", ours, "serverAuth", f"DNS:{HOST}"))


@pytest.fixture
def valkeys(valkey: Valkey, authorities: Authorities) -> Iterator[int]:
    """The port at which Valkey speaks TLS."""
    with Proxy(valkey.port, authorities.context) as proxy:
        yield proxy.port


@contextmanager
def system_ca(monkeypatch: pytest.MonkeyPatch, certificate: Path) -> Iterator[None]:
    tls_context.cache_clear()
    with monkeypatch.context() as patch:
        patch.setenv("SSL_CERT_FILE", str(certificate))
        yield
    tls_context.cache_clear()


@pytest.mark.parametrize("kind", ["ValkeyWorker", "PulsarBridge"])
async def test_p6_the_operator_counts_at_a_valkey_with_tls_and_checks_its_certificate(
    kind: str, valkeys: int, authorities: Authorities, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def ask(host: str, ca: str | None) -> Any:
        asked = resource(body(kind, valkey={"url": f"valkeys://{host}:{valkeys}/0"}))
        return await ask_valkey(asked, Credentials(valkey_ca=ca))

    assert (await ask(HOST, authorities.ca)).valkey.version
    with system_ca(monkeypatch, authorities.ours.certificate):
        assert (await ask(HOST, None)).valkey.version
        with pytest.raises(ValkeyUnreachableError, match="its certificate is refused"):
            await ask(HOST, authorities.stranger.certificate.read_text())
    for host, ca, problem in (
        (HOST, None, "its certificate is refused: unable to get local issuer certificate"),
        ("127.0.0.1", authorities.ca, "its certificate is refused: IP address mismatch"),
        (HOST, "change-me", "the CA certificate is not a PEM certificate; see spec.valkey.tls.caSecretRef"),
        (HOST, "", "the CA certificate is not a PEM certificate"),
    ):
        with pytest.raises(ValkeyUnreachableError, match=problem):
            await ask(host, ca)
    # the pods call it by another name than the operator
    monkeypatch.setattr(valkey_numbers, "seen_from_operator", lambda *_: f"valkeys://127.0.0.1:{valkeys}/0")
    assert (await ask(HOST, authorities.ca)).valkey.version
    with pytest.raises(ValkeyUnreachableError, match="Hostname mismatch"):
        await ask("valkey.elsewhere", authorities.ca)


async def test_p6_the_operator_counts_at_a_rabbitmq_with_tls_and_checks_its_certificate(
    rabbitmq: RabbitMQ, authorities: Authorities
) -> None:
    async def ask(host: str, ca: str | None) -> Any:
        block = {"url": f"amqps://{host}:{proxy.port}", "auth": {"secretRef": {"name": "rabbitmq"}}}
        broker = {"type": "RabbitMQ", "rabbitmq": block}
        worker = resource(body("ValkeyWorker", celery={"app": "a:b", "queues": [{"name": "tls"}], "broker": broker}))
        known = Credentials(rabbitmq_username=rabbitmq.username, rabbitmq_password=rabbitmq.password, rabbitmq_ca=ca)
        return await ask_celery_broker(worker, known, session)

    with Proxy(rabbitmq.port, authorities.context) as proxy:
        async with aiohttp.ClientSession() as session:
            assert (await ask(HOST, authorities.ca)).backlog == 0
            for host, ca, problem in (
                (HOST, None, "its certificate is refused"),
                (HOST, authorities.stranger.certificate.read_text(), "its certificate is refused"),
                ("127.0.0.1", authorities.ca, "its certificate is refused: IP address mismatch"),
                (HOST, "change-me", "not a PEM certificate; see broker.rabbitmq.tls.caSecretRef"),
            ):
                with pytest.raises(BrokerUnreachableError, match=problem):
                    await ask(host, ca)


class SecurePulsar(Pulsar):
    """A broker that speaks TLS, with the certificate of *authorities*."""

    def __init__(self, directory: Path, authorities: Authorities) -> None:
        super().__init__(directory)
        self._authorities = authorities
        self.tls_port, self.https_port = free_ports(2)

    def advertised(self) -> str:
        """The test bed's, and where TLS is spoken."""
        server, ours = self._authorities.server, self._authorities.ours
        return (
            f"advertisedAddress={HOST}\nbrokerServicePortTls={self.tls_port}\nwebServicePortTls={self.https_port}\n"
            f"tlsCertificateFilePath={server.certificate}\ntlsKeyFilePath={server.key}\n"
            f"tlsTrustCertsFilePath={ours.certificate}\n"
        )

    def connection(self, host: str = HOST, *, ca: bool = True) -> dict[str, Any]:
        """`spec.pulsar`."""
        where = {"serviceUrl": f"pulsar+ssl://{host}:{self.tls_port}", "adminUrl": f"https://{host}:{self.https_port}"}
        return {**where, **({"tls": {"caSecretRef": {"name": "ca", "key": "ca.crt"}}} if ca else {})}


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory, authorities: Authorities) -> Iterator[SecurePulsar]:
    with SecurePulsar(tmp_path_factory.mktemp("pulsar"), authorities) as server:
        yield server
        server.kill()


async def test_p6_the_operator_asks_an_admin_api_with_tls_and_checks_its_certificate(
    valkey: Valkey, broker: SecurePulsar, authorities: Authorities
) -> None:
    async def problems(host: str, ca: str | None) -> list[str]:
        bridge = body("PulsarBridge", pulsar=broker.connection(host), valkey={"url": valkey.url})
        brokers = Brokers(session, lambda: 0.0)
        answers = await brokers.ask(resource(bridge), Credentials(pulsar_ca=ca), bridge, thorough=True)
        assert all(isinstance(each, PulsarUnreachableError) for each in answers.problems), answers.problems
        return [str(each) for each in answers.problems]

    async with aiohttp.ClientSession() as session:
        assert await problems(HOST, authorities.ca) == []
        for host, ca, problem in (
            (HOST, None, "its certificate is refused"),
            (HOST, authorities.stranger.certificate.read_text(), "its certificate is refused"),
            ("127.0.0.1", authorities.ca, "its certificate is refused: IP address mismatch"),
            (HOST, "change-me", "not a PEM certificate; see spec.pulsar.tls.caSecretRef"),
        ):
            [found] = await problems(host, ca)
            assert problem in found


def valkey_block(port: int, host: str = HOST, *, ca: bool = True) -> dict[str, Any]:
    """`spec.valkey`."""
    tls = {"tls": {"caSecretRef": {"name": "ca", "key": "ca.crt"}}} if ca else {}
    return {"url": f"valkeys://{host}:{port}/0", **tls}


def await_refusal(process: Headrace, side: str) -> None:
    wait_for(lambda: REFUSED in process.log().lower(), f"the log says why {side} is not reached", 60)
    wait_for(lambda: process.get("/readyz")[0] == 503, "the page says that it is not ready")  # it may not answer yet
    assert side in process.get("/readyz")[1]
    assert process.get("/livez")[0] == 200


@pytest.mark.parametrize("given", [True, False], ids=["given CA", "the system's CAs"])
def test_p1_p6_bridges_move_both_ways_over_tls(
    valkey: Valkey, valkeys: int, broker: SecurePulsar, authorities: Authorities, processes: Processes, given: bool
) -> None:
    topic = create_topic(broker, f"persistent://public/default/tls-{given}")
    create_topic(broker, f"{topic}-DLQ")
    create_topic(broker, f"{topic}-round-DLQ")
    brokers = {"valkey": valkey_block(valkeys, ca=given), "pulsar": broker.connection(ca=given)}
    outward = {"source": {"valkey": {"list": {"key": "orders"}}}, "sink": {"pulsar": {"topic": topic}}}
    inward = {
        "source": {"pulsar": {"topicsPattern": f"{topic}", "subscription": "round"}},
        "sink": {"valkey": {"list": {"key": "arrived"}}},
        "deadLetter": {"topic": f"{topic}-round-DLQ"},
    }
    secrets = {"valkey-ca/ca.crt": authorities.ca, "pulsar-ca/ca.crt": authorities.ca} if given else {}
    environment = {} if given else {"SSL_CERT_FILE": str(authorities.ours.certificate)}
    for name, spec in (("out", outward), ("in", inward)):
        bridge = document("PulsarBridge", name, {**spec, **brokers})
        processes.start("bridge", bridge, secrets=secrets, environment=environment).wait_until_ready()
    with valkey.client() as client:
        client.lpush("orders", *range(100))
        wait_for(lambda: client.llen("arrived") == 100, "all have gone round")
    assert sorted(map(int, payloads(broker, topic))) == list(range(100))


@pytest.mark.parametrize("wrong", ["CA", "host"])
def test_p5_p6_a_bridge_takes_no_certificate_that_does_not_fit(
    valkey: Valkey, valkeys: int, broker: SecurePulsar, authorities: Authorities, processes: Processes, wrong: str
) -> None:
    topic = create_topic(broker, f"persistent://public/default/tls-wrong-{wrong}")
    publish(broker, topic, [b"1"])
    host = HOST if wrong == "CA" else "127.0.0.1"
    theirs = authorities.stranger.certificate.read_text() if wrong == "CA" else authorities.ca
    outward = {"source": {"valkey": {"list": {"key": "orders"}}}, "sink": {"pulsar": {"topic": topic}}}
    inward = {
        "source": {"pulsar": {"topic": topic, "subscription": "s"}},
        "sink": {"valkey": {"list": {"key": "arrived"}}},
    }
    plain = {"valkey": {"url": valkey.url}}
    refused_valkey = {"valkey": valkey_block(valkeys, host), "pulsar": broker.connection()}
    refused_pulsar = {**plain, "pulsar": broker.connection(host)}
    for brokers, side in ((refused_valkey, "valkey"), (refused_pulsar, "pulsar")):
        secrets = {
            "valkey-ca/ca.crt": theirs if side == "valkey" else authorities.ca,
            "pulsar-ca/ca.crt": theirs if side == "pulsar" else authorities.ca,
        }
        for name, spec in (("out", outward), ("in", inward)):
            bridge = document("PulsarBridge", f"{name}-{side}", {**spec, **brokers})
            await_refusal(processes.start("bridge", bridge, secrets=secrets), side)
    with valkey.client() as client:
        assert client.llen("arrived") == 0


def test_p6_a_ca_that_is_none_ends_a_process_with_one_sentence(valkeys: int, processes: Processes) -> None:
    spec = {"valkey": valkey_block(valkeys), "mode": "Polling", "polling": POLLING}
    worker = processes.start("worker", document("ValkeyWorker", "w", spec), secrets={"valkey-ca/ca.crt": "change-me"})
    assert worker.process.wait(30) == os.EX_CONFIG
    assert "valkey-ca/ca.crt cannot be used: the CA certificate is not a PEM certificate." in worker.termination()


POLLING = {"list": {"key": "orders"}, "handler": "tests.integration.shop_handlers:price"}
CELERY = {"app": "tests.integration.shop_tasks:app", "queues": [{"name": "pricing"}], "concurrency": 1}


@pytest.mark.parametrize("given", [True, False], ids=["given CA", "the system's CAs"])
@pytest.mark.parametrize("mode", ["Polling", "Stream", "PubSub", "Celery"])
def test_p1_p6_workers_take_messages_over_tls(
    valkey: Valkey,
    valkeys: int,
    authorities: Authorities,
    processes: Processes,
    monkeypatch: pytest.MonkeyPatch,
    mode: str,
    given: bool,
) -> None:
    if not given:
        monkeypatch.setenv("SSL_CERT_FILE", str(authorities.ours.certificate))
    handler = {"handler": POLLING["handler"]}
    modes: dict[str, dict[str, Any]] = {
        "Polling": {"polling": POLLING},
        "Stream": {"stream": {"key": "orders", "payloadField": "order", **handler}},
        "PubSub": {"pubSub": {"channels": ["orders"], **handler}},
        "Celery": {"celery": CELERY},
    }
    outbox = {"outbox": {"key": "outbox", **({"tasks": ["shop.price"]} if mode == "Celery" else {})}}
    spec = {"valkey": valkey_block(valkeys, ca=given), "mode": mode, **modes[mode], **outbox}
    secrets = {"valkey-ca/ca.crt": authorities.ca} if given else {}
    environment = {"SHOP_VALKEY": valkey.url}
    worker = processes.start("worker", document("ValkeyWorker", "w", spec), secrets=secrets, environment=environment)
    worker.wait_until_ready()
    order = '{"id": "one"}'
    with valkey.client() as client:
        if mode == "Stream":
            client.xadd("orders", {"order": order})
        elif mode == "PubSub":
            client.publish("orders", order)
        elif mode == "Polling":
            client.lpush("orders", order)
        else:
            send(valkeys, authorities, given)
        wait_for(lambda: client.llen("outbox") == 1, "the result")


def producer(port: int, authority: Path | None, host: str = HOST) -> celery.Celery:
    """An app outside Kubernetes; the system's CAs without an *authority*."""
    ca = f"?ssl_ca_certs={authority}" if authority else ""
    changes = {
        "broker_url": f"valkeys://{host}:{port}/0{ca}",
        "result_backend": f"headrace.celery.results:Backend+valkeys://{host}:{port}/1{ca}",
        "task_default_queue": "pricing",
        "broker_connection_timeout": 2,
        "result_backend_max_retries": 1,
    }
    return celery.Celery("producer", set_as_current=False, changes=changes)


def send(port: int, authorities: Authorities, given: bool) -> None:
    """Call the task and get its result, over TLS both."""
    with producer(port, authorities.ours.certificate if given else None) as app:
        assert app.send_task("shop.price", ({"id": "one"},)).get(timeout=30) == {"id": "one", "price": 7}


def test_p6_celery_outside_kubernetes_takes_no_certificate_that_does_not_fit(
    valkeys: int, authorities: Authorities
) -> None:
    stranger, ours = authorities.stranger.certificate, authorities.ours.certificate
    for authority, host in ((stranger, HOST), (ours, "127.0.0.1"), (None, HOST)):
        with producer(valkeys, authority, host) as app:
            with pytest.raises(kombu.exceptions.OperationalError, match="CERTIFICATE_VERIFY_FAILED"):
                app.send_task("shop.price", ({"id": "one"},), retry=False, ignore_result=True)
            with pytest.raises(redis.exceptions.ConnectionError, match="CERTIFICATE_VERIFY_FAILED"):
                app.backend.client.ping()


@pytest.mark.parametrize("wrong", ["CA", "host"])
@pytest.mark.parametrize("mode", ["Polling", "Celery"])
def test_p5_p6_a_worker_takes_no_certificate_that_does_not_fit(
    valkey: Valkey, valkeys: int, authorities: Authorities, processes: Processes, mode: str, wrong: str
) -> None:
    host = HOST if wrong == "CA" else "127.0.0.1"
    theirs = authorities.stranger.certificate.read_text() if wrong == "CA" else authorities.ca
    mine = {"polling": POLLING} if mode == "Polling" else {"celery": CELERY}
    spec = {"valkey": valkey_block(valkeys, host), "mode": mode, **mine}
    worker = document("ValkeyWorker", "w", spec)
    environment = {"SHOP_VALKEY": valkey.url}
    await_refusal(
        processes.start("worker", worker, secrets={"valkey-ca/ca.crt": theirs}, environment=environment), "valkey"
    )


@pytest.mark.parametrize("wrong", ["nothing", "CA", "host"])
def test_p1_p6_a_worker_takes_tasks_of_a_rabbitmq_over_tls(
    valkey: Valkey, rabbitmq: RabbitMQ, authorities: Authorities, processes: Processes, wrong: str
) -> None:
    theirs = authorities.stranger.certificate.read_text() if wrong == "CA" else authorities.ca
    login = {"rabbitmq/username": rabbitmq.username, "rabbitmq/password": rabbitmq.password}
    with Proxy(rabbitmq.port, authorities.context) as proxy:
        block = {
            "url": f"amqps://{HOST if wrong != 'host' else '127.0.0.1'}:{proxy.port}",
            "auth": {"secretRef": {"name": "rabbitmq"}},
            "tls": {"caSecretRef": {"name": "ca", "key": "ca.crt"}},
        }
        queue = f"tls-{wrong}"
        runtime = {**CELERY, "queues": [{"name": queue}], "broker": {"type": "RabbitMQ", "rabbitmq": block}}
        spec = {"valkey": {"url": valkey.url}, "celery": runtime, "outbox": {"key": "outbox", "tasks": ["shop.price"]}}
        secrets = {"rabbitmq-ca/ca.crt": theirs, **login}
        first = json.dumps([["1", "shop.price", {"id": "one"}]])
        environment = {"SHOP_VALKEY": valkey.url, "SHOP_FIRST_ORDERS": first}
        document_ = document("ValkeyWorker", "w", spec)
        worker = processes.start("worker", document_, secrets=secrets, environment=environment)
        if wrong != "nothing":
            await_refusal(worker, "rabbitmq")
            return
        worker.wait_until_ready()
        with valkey.client() as client:
            wait_for(lambda: client.llen("outbox") == 1, "the result")
