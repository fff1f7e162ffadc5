"""What the tests of bridge and worker share: topics, real processes of ours, and reading topics back."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, TypeVar
from urllib.parse import quote

import pulsar
from prometheus_client.parser import text_string_to_metric_families

from testbed.loopback import free_ports
from testbed.pulsar import Pulsar
from testbed.valkey import Valkey

T = TypeVar("T")
ROOT = Path(__file__).parents[2]


def wait_for(condition: Callable[[], T], what: str, seconds: float = 30.0) -> T:
    """Wait until *condition* is true and return it; fail naming *what* when it stays false."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds:.0f} s: {what} (last: {value!r})")
        time.sleep(0.02)


def create_topic(broker: Pulsar, topic: str, partitions: int = 0, *, deduplication: bool = True) -> str:
    """Create a topic as the operator would; returns its name."""
    path = admin_path(topic)
    if partitions:
        call_admin(broker, "PUT", f"{path}/partitions", partitions)
    else:
        call_admin(broker, "PUT", path, {})
    if deduplication:
        call_admin(broker, "POST", f"{path}/deduplicationEnabled", True)
        wait_for(lambda: call_admin(broker, "GET", f"{path}/deduplicationEnabled?applied=true"), "the policy", 10)
    return topic


def create_subscription(broker: Pulsar, topic: str, name: str) -> None:
    """Create a subscription that begins with the topic's first message, as the operator would."""
    first = {"ledgerId": -1, "entryId": -1}  # earliest
    try:
        call_admin(broker, "PUT", f"{admin_path(topic)}/subscription/{name}", first)
    except urllib.error.HTTPError as error:
        if error.code != 409:  # somebody was quicker
            raise


def keep_messages(broker: Pulsar, topic: str) -> None:
    """Let the broker keep what nobody has subscribed to: some time after a restart it would delete it."""
    for_ever = {"retentionTimeInMinutes": -1, "retentionSizeInMB": -1}
    path = f"{admin_path(topic)}/retention"
    call_admin(broker, "POST", path, for_ever)
    wait_for(lambda: call_admin(broker, "GET", f"{path}?applied=true") == for_ever, "the policy", 10)


def admin_path(topic: str) -> str:
    """Where the admin API has a topic."""
    parts = topic.removeprefix("persistent://").split("/")
    return "/admin/v2/persistent/" + "/".join(quote(part, safe="") for part in parts)


def backlog(broker: Pulsar, topic: str, subscription: str) -> int:
    """Messages that a subscription has not acknowledged."""
    partitions = call_admin(broker, "GET", f"{admin_path(topic)}/partitions")["partitions"]
    page = "partitioned-stats?perPartition=false&" if partitions else "stats?"
    stats = call_admin(broker, "GET", f"{admin_path(topic)}/{page}getPreciseBacklog=true")
    return int(stats["subscriptions"][subscription]["msgBacklog"])


def topic_account(broker: Pulsar, topic: str) -> dict[str, Any]:
    """What the broker says of a partitioned topic's subscriptions, their consumers, and its partitions' ledgers."""
    partitions = call_admin(broker, "GET", f"{admin_path(topic)}/partitions")["partitions"]
    parts = [f"{topic}-partition-{number}" for number in range(partitions)] or [topic]
    return {
        part.rpartition("/")[2]: {
            "stats": call_admin(broker, "GET", f"{admin_path(part)}/stats?getPreciseBacklog=true")["subscriptions"],
            "internal": call_admin(broker, "GET", f"{admin_path(part)}/internalStats"),
        }
        for part in parts
    }


def producers(broker: Pulsar, topic: str) -> list[str]:
    """Names of the producers that are connected to one partition's topic."""
    stats = call_admin(broker, "GET", f"{admin_path(topic)}/stats")
    return [str(each["producerName"]) for each in stats["publishers"]]


def delete_topic(broker: Pulsar, topic: str) -> None:
    """Delete a topic with all its partitions, whoever uses it."""
    partitioned = partition_count(broker, topic) > 0
    call_admin(broker, "DELETE", f"{admin_path(topic)}{'/partitions' * partitioned}?force=true")


def terminate(broker: Pulsar, topic: str) -> None:
    """Let a topic take no messages any more."""
    partitioned = partition_count(broker, topic) > 0
    call_admin(broker, "POST", f"{admin_path(topic)}/terminate{'/partitions' * partitioned}", {})


def partition_count(broker: Pulsar, topic: str) -> int:
    """How many partitions a topic has; 0 for one that has none."""
    return int(call_admin(broker, "GET", f"{admin_path(topic)}/partitions")["partitions"])


def grow_partitions(broker: Pulsar, topic: str, partitions: int) -> None:
    """Give a partitioned topic more partitions, so many in all."""
    call_admin(broker, "POST", f"{admin_path(topic)}/partitions", partitions)


def set_deduplication(broker: Pulsar, topic: str, enabled: bool) -> None:
    """Switch a topic's deduplication on or off."""
    path = f"{admin_path(topic)}/deduplicationEnabled"
    call_admin(broker, "POST", path, enabled)
    wait_for(lambda: call_admin(broker, "GET", f"{path}?applied=true") == enabled, "the policy", 10)


def unlimit_backlog(broker: Pulsar, topic: str) -> None:
    """Take back :func:`limit_backlog`."""
    call_admin(broker, "DELETE", f"{admin_path(topic)}/backlogQuota?backlogQuotaType=destination_storage")
    delete_subscription(broker, topic, "keeper")


def limit_backlog(broker: Pulsar, topic: str, size: int) -> None:
    """Let a topic hold *size* bytes at most, producers wait then; everything published stays until :func:`skip_all`."""
    quota = {"limitSize": size, "limitTime": -1, "policy": "producer_request_hold"}
    call_admin(broker, "PUT", f"{admin_path(topic)}/subscription/keeper", "earliest")
    call_admin(broker, "POST", f"{admin_path(topic)}/backlogQuota?backlogQuotaType=destination_storage", quota)


def skip_all(broker: Pulsar, topic: str) -> None:
    """Give up what :func:`limit_backlog` keeps."""
    call_admin(broker, "POST", f"{admin_path(topic)}/subscription/keeper/skip_all")


def skip(broker: Pulsar, topic: str, name: str, count: int) -> None:
    """Take *count* entries away that a subscription has not read."""
    call_admin(broker, "POST", f"{admin_path(topic)}/subscription/{name}/skip/{count}")


def expire(broker: Pulsar, topic: str, name: str) -> None:
    """Let the messages of a subscription expire that are older than a second."""
    call_admin(broker, "POST", f"{admin_path(topic)}/subscription/{name}/expireMessages/1")


def permit(broker: Pulsar, role: str) -> None:
    """Let *role* produce and consume in the namespace `public/default`."""
    call_admin(broker, "POST", f"/admin/v2/namespaces/public/default/permissions/{role}", ["produce", "consume"])


def forbid(broker: Pulsar, role: str) -> None:
    """Take back :func:`permit`. The broker looks again only when somebody connects."""
    call_admin(broker, "DELETE", f"/admin/v2/namespaces/public/default/permissions/{role}")


def rewind(broker: Pulsar, topic: str, subscription: str) -> None:
    """Move a subscription's cursor back to the topic's beginning."""
    call_admin(broker, "POST", f"{admin_path(topic)}/subscription/{subscription}/resetcursor/0")


def delete_subscription(broker: Pulsar, topic: str, name: str) -> None:
    """Delete a subscription, whoever uses it."""
    call_admin(broker, "DELETE", f"{admin_path(topic)}/subscription/{name}?force=true")


def unload(broker: Pulsar, topic: str) -> None:
    """Let the broker close a topic; it opens again at the next use, without the old consumers."""
    call_admin(broker, "PUT", f"{admin_path(topic)}/unload")


def use_name(broker: Pulsar, topic: str, name: str, sequence_id: int = 1_000_000) -> None:
    """Somebody else uses the name of a producer, and higher sequence ids, as a bridge on a copy of the Valkey does."""
    client = pulsar.Client(broker.service_url)

    def opened() -> Any:
        unload(broker, topic)
        for _ in range(40):
            try:
                return client.create_producer(topic, producer_name=name)
            except pulsar.ProducerBusy:
                time.sleep(0.002)
        return None

    try:
        wait_for(opened, "it comes in between").send(b"foreign", sequence_id=sequence_id)
    finally:
        client.close()


def call_admin(broker: Pulsar, method: str, path: str, body: object = None) -> Any:
    request = urllib.request.Request(
        broker.admin_url + path,
        method=method,
        data=json.dumps(body).encode() if method != "GET" else None,
        headers={"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=30) as response:
        text = response.read()
    return json.loads(text) if text else None


def read_topic(broker: Pulsar, topic: str) -> list[pulsar.Message]:
    """Every message of a topic, from its beginning to its present end."""
    client = pulsar.Client(broker.service_url, logger=pulsar.ConsoleLogger(pulsar.LoggerLevel.Error))
    try:
        messages = []
        for partition in client.get_topic_partitions(topic):
            reader = client.create_reader(partition, pulsar.MessageId.earliest)
            while reader.has_message_available():
                messages.append(reader.read_next(10_000))
        return messages
    finally:
        client.close()


def payloads(broker: Pulsar, topic: str) -> list[str]:
    """The payloads of a topic as text."""
    return [message.data().decode() for message in read_topic(broker, topic)]


@contextmanager
def producer(broker: Pulsar, topic: str, *, batched: bool = True, **options: Any) -> Iterator[pulsar.Producer]:
    """A producer of the tests' own."""
    client = pulsar.Client(broker.service_url, logger=pulsar.ConsoleLogger(pulsar.LoggerLevel.Error))
    try:
        yield client.create_producer(topic, batching_enabled=batched, block_if_queue_full=True, **options)
    finally:
        client.close()


def publish(
    broker: Pulsar, topic: str, messages: Mapping[str, bytes] | list[bytes], *, batched: bool = True, **options: Any
) -> None:
    """Publish payloads (with their keys) and wait until the broker has them."""
    pairs = list(messages.items()) if isinstance(messages, Mapping) else [(None, payload) for payload in messages]
    with producer(broker, topic, batched=batched) as sender:
        for key, payload in pairs:
            sender.send_async(payload, lambda *_: None, partition_key=key, **options)
        sender.flush()


@dataclass
class Headrace:
    """`headrace bridge` or `headrace worker` as a real process, with its probes on a port of its own."""

    command: str
    resource: dict[str, Any]
    directory: Path
    environment: Mapping[str, str]
    process: subprocess.Popen[bytes]
    port: int

    @classmethod
    def start(
        cls,
        command: str,
        resource: dict[str, Any],
        directory: Path,
        *,
        secrets: Mapping[str, str] | None = None,
        environment: Mapping[str, str] | None = None,
        deadly: str | None = None,
        program: Sequence[str] = ("headrace.cli",),
    ) -> Self:
        """Start it in a folder of its own under *directory*.

        *deadly*: ``module:Class.method`` at whose call the process is killed, see `tests.integration.deadly`.
        *program*: what runs instead, a module with its first arguments.
        """
        number = len(list(directory.glob(f"{command}-*")))
        folder = directory / f"{command}-{number}"
        folder.mkdir(parents=True)
        config = folder / "config.json"
        config.write_text(json.dumps(resource))
        for name, value in (secrets or {}).items():
            target = folder / "secrets" / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(value)
        [port] = free_ports(1)
        variables = {
            **os.environ,
            "PYTHONPATH": f"{ROOT / 'operator'}:{ROOT}",
            "HEADRACE_HTTP_PORT": str(port),
            "HEADRACE_SECRETS": str(folder / "secrets"),
            "HEADRACE_TERMINATION_LOG": str(folder / "termination-log"),
            "HOSTNAME": f"{command}-{number}",
            **(environment or {}),
        }
        if deadly:
            program = ("tests.integration.deadly", deadly)
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", *program, command, "--config", str(config)],
                cwd=folder,
                env=variables,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        return cls(command, resource, folder, variables, process, port)

    def log(self) -> str:
        """What it wrote so far."""
        return (self.directory / "log").read_text(errors="replace")

    def termination(self) -> str:
        """Its last words, where `kubectl describe pod` looks."""
        path = self.directory / "termination-log"
        return path.read_text() if path.exists() else ""

    def get(self, path: str) -> tuple[int, str]:
        """Status and body of a page of its HTTP server; 0 when it does not answer."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=5) as response:
                return response.status, response.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()
        except OSError:
            return 0, ""

    def wait_until_ready(self, seconds: float = 30) -> Self:
        """Wait for `/readyz`."""

        def ready() -> bool:
            assert self.process.poll() is None, f"it ended with {self.process.returncode}:\n{self.log()}"
            return self.get("/readyz")[0] == 200

        wait_for(ready, f"{self.directory.name} is ready", seconds)
        return self

    def metric(self, series: str, **labels: str) -> float:
        """The sum of the samples with that name and those labels."""
        status, body = self.get("/metrics")
        assert status == 200
        return sum(
            sample.value
            for family in text_string_to_metric_families(body)
            for sample in family.samples
            if sample.name == series and labels.items() <= sample.labels.items()
        )

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the process."""
        self.process.send_signal(number)

    def frozen(self) -> bool:
        """Whether it was stopped by SIGSTOP."""
        return Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"

    def kill(self) -> None:
        """`kill -9`, for what it started too, as at the end of a container."""
        self._kill_all()
        self.process.wait(10)

    def stop(self, seconds: float = 40) -> int:
        """SIGTERM; returns the exit status."""
        self.process.terminate()
        return self.process.wait(seconds)

    def end(self) -> None:
        """End it whatever it does."""
        self._kill_all()
        self.process.wait(10)

    def _kill_all(self) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)

    def children(self) -> list[int]:
        """The ids of the processes that it started itself and that live."""
        with suppress(OSError):
            return [
                int(child)
                for child in Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
            ]
        return []


class Processes:
    """The processes of one test, ended with it; shows their logs when the test failed."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.started: list[Headrace] = []

    def start(self, command: str, resource: dict[str, Any], **options: Any) -> Headrace:
        """Start one."""
        one = Headrace.start(command, resource, self.directory, **options)
        self.started.append(one)
        return one

    def end(self) -> None:
        """End all that still run."""
        for one in self.started:
            one.end()


def connections(valkey: Valkey, broker: Pulsar) -> dict[str, Any]:
    """The part of a PulsarBridge that says where the brokers are."""
    return {
        "valkey": {"url": valkey.url},
        "pulsar": {"serviceUrl": broker.service_url, "adminUrl": broker.admin_url},
    }


def resource(kind: str, name: str, spec: dict[str, Any]) -> dict[str, Any]:
    """A resource as the operator writes it for its pods."""
    return {
        "apiVersion": "headrace.dev/v1alpha1",
        "kind": kind,
        "metadata": {"namespace": "test", "name": name, "uid": "1"},
        "spec": spec,
    }


def entries_added(broker: Pulsar, topic: str) -> int:
    """Entries that a topic was given since it was loaded: batches, single messages and chunks."""
    return int(call_admin(broker, "GET", f"{admin_path(topic)}/internalStats")["entriesAddedCounter"])


def keep(broker: Pulsar, topic: str) -> None:
    """Let a topic keep everything, by a subscription that nobody reads: one without any loses what a reload closes."""
    call_admin(broker, "PUT", f"{admin_path(topic)}/subscription/keep", {"ledgerId": -1, "entryId": -1})
