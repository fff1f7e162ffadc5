"""An operator process and a Kubernetes API for the tests of the operator; both real.

No controller manager runs: nothing collects garbage, and a Deployment is up when :meth:`Kubernetes.roll_out` says so.
"""

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import kubernetes.client
import kubernetes.config
import yaml

from headrace.reconcile.kinds import KINDS, Kind
from tests.unit.reconcile.bodies import deployment_status
from tests.unit.reconcile.flux_checker import violations

ROOT = Path(__file__).parents[2]
CRD = Kind("apiextensions.k8s.io/v1", "customresourcedefinitions", "CustomResourceDefinition")
NAMESPACE = Kind("v1", "namespaces", "Namespace")

T = TypeVar("T")


def wait_for(what: str, probe: Callable[[], T | None], seconds: float = 20) -> T:
    """Wait until *probe* gives something true, and return it; TimeoutError says *what* did not come."""
    deadline = time.monotonic() + seconds
    while True:
        if found := probe():
            return found
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what} did not come within {seconds:.0f} s")
        time.sleep(0.05)


class Kubernetes:
    """The API server, as the user sees it, in one namespace."""

    def __init__(self, kubeconfig: Path, namespace: str) -> None:
        self.kubeconfig = kubeconfig
        self.namespace = namespace
        configuration = kubernetes.client.Configuration()
        kubernetes.config.load_kube_config(str(kubeconfig), client_configuration=configuration)  # type: ignore[no-untyped-call]
        self._server = configuration.host
        self._pool = kubernetes.client.ApiClient(configuration).rest_client.pool_manager
        token = configuration.get_api_key_with_prefix("BearerToken") or configuration.get_api_key_with_prefix(
            "authorization"
        )
        self._headers = {"Authorization": token} if token else {}

    def call(self, method: str, path: str, body: Any = None, content_type: str = "application/json") -> Any:
        """One request; None for 404, AssertionError for any other refusal."""
        answer = self._pool.request(
            method,
            self._server + path,
            headers={**self._headers, "Content-Type": content_type},
            body=None if body is None else json.dumps(body),
        )
        if answer.status == 404:
            return None
        decoded = json.loads(answer.data)
        assert answer.status < 300, decoded.get("message")
        return decoded

    def prepare(self) -> None:
        """Install the CRDs and make the namespace."""
        for file in sorted((ROOT / "crds").glob("*.yaml")):
            crd = yaml.safe_load(file.read_text())
            name = crd["metadata"]["name"]
            path = f"{CRD.path(name=name)}?fieldManager=tests&force=true"
            self.call("PATCH", path, crd, "application/apply-patch+yaml")
            wait_for(f"CRD {name}", lambda name=name: self._established(name))  # type: ignore[misc]
        body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": self.namespace}}
        if self.call("GET", NAMESPACE.path(name=self.namespace)) is None:
            self.call("POST", NAMESPACE.path(), body)

    def _established(self, name: str) -> bool:
        conditions = self.call("GET", CRD.path(name=name)).get("status", {}).get("conditions") or []
        return any(each["type"] == "Established" and each["status"] == "True" for each in conditions)

    def path(self, kind: str, name: str | None = None, subresource: str | None = None) -> str:
        """Path of an object in this namespace."""
        return KINDS[kind].path(self.namespace, name, subresource)

    def get(self, kind: str, name: str) -> Any:
        """An object, or None."""
        return self.call("GET", self.path(kind, name))

    def list_all(self, kind: str) -> list[Any]:
        """All objects of a kind."""
        answer = self.call("GET", self.path(kind))
        return list(answer["items"]) if answer else []

    def create(self, kind: str, name: str, **fields: Any) -> Any:
        """Create an object with these top-level fields."""
        body = {"apiVersion": KINDS[kind].api_version, "kind": kind, "metadata": {"name": name}, **fields}
        body["metadata"]["name"] = name
        return self.call("POST", self.path(kind), body)

    def merge(self, kind: str, name: str, patch: Any, subresource: str | None = None) -> Any:
        """Change an object by a merge patch."""
        return self.call("PATCH", self.path(kind, name, subresource), patch, "application/merge-patch+json")

    def delete(self, kind: str, name: str) -> None:
        """Delete an object."""
        self.call("DELETE", self.path(kind, name))

    def roll_out(self, name: str) -> None:
        """Say that a Deployment is up, when it is there, as the controller manager would."""
        live = self.get("Deployment", name)
        if live and live.get("status", {}).get("observedGeneration") != live["metadata"]["generation"]:
            replicas, generation = live["spec"]["replicas"], live["metadata"]["generation"]
            status = {**deployment_status(replicas), "observedGeneration": generation}
            self.merge("Deployment", name, {"status": status}, "status")

    def condition(self, kind: str, name: str, of: str = "Ready") -> tuple[str, str] | None:
        """(status, reason) of a condition; None when it does not stand or speaks of an older generation."""
        live = self.get(kind, name)
        if live is None:
            return None
        status = live.get("status", {})
        if status.get("observedGeneration") != live["metadata"]["generation"]:
            return None
        assert violations(status, live["metadata"]["generation"]) == [], status
        return next(
            ((each["status"], each["reason"]) for each in status.get("conditions", []) if each["type"] == of), None
        )

    def message(self, kind: str, name: str, of: str = "Ready") -> str:
        """Message of a condition."""
        conditions = self.get(kind, name)["status"]["conditions"]
        return next(str(each["message"]) for each in conditions if each["type"] == of)

    def wait_for_condition(
        self,
        kind: str,
        name: str,
        status: str,
        reason: str,
        *,
        of: str = "Ready",
        deployments: tuple[str, ...] = (),
        seconds: float = 20,
    ) -> None:
        """Wait until a condition reads so; *deployments* are rolled out meanwhile."""
        seen: list[Any] = []

        def reads() -> bool:
            for deployment in deployments:
                self.roll_out(deployment)
            seen[:] = [self.condition(kind, name, of)]
            return seen == [(status, reason)]

        try:
            wait_for("", reads, seconds)
        except TimeoutError:
            status_now = json.dumps((self.get(kind, name) or {}).get("status"), indent=1)
            raise TimeoutError(f"{kind} {name}: {of} is {seen}, not {(status, reason)}: {status_now}") from None

    def ready(self, kind: str, name: str, *deployments: str) -> None:
        """Wait until a resource is Ready, its Deployments rolled out on the way."""
        self.wait_for_condition(kind, name, "True", "Succeeded", deployments=deployments)

    def versions(self) -> dict[str, str]:
        """resourceVersion of everything the operator could write here."""
        kinds = [kind for kind in KINDS if kind not in ("Lease", "Pod")]
        return {
            f"{kind}/{each['metadata']['name']}": each["metadata"]["resourceVersion"]
            for kind in kinds
            for each in self.list_all(kind)
        }

    def events(self, name: str) -> list[tuple[str, str]]:
        """(reason, message) of the events on a resource."""
        return [
            (each["reason"], each["message"])
            for each in self.list_all("Event")
            if each["involvedObject"]["name"] == name
        ]


class OperatorProcess:
    """`headrace operator`, with times short enough for tests."""

    def __init__(self, kubeconfig: Path, log: Path, **environment: str) -> None:
        self.log = log
        self._environment = {
            "KUBECONFIG": str(kubeconfig),
            "PYTHONPATH": str(ROOT / "operator"),
            "PATH": os.environ["PATH"],
            "HEADRACE_HTTP_PORT": "0",
            "HEADRACE_HTTP_HOST": "127.0.0.1",
            "HEADRACE_LIVE_SECONDS": "0.5",
            "HEADRACE_RESYNC_SECONDS": "300",
            "HEADRACE_WORKER_IMAGE": "localhost/headrace-worker:dev",
            **environment,
        }
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> "OperatorProcess":
        """Start, and wait until it is ready."""
        with self.log.open("ab") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "headrace.cli", "operator"],
                env=self._environment,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        wait_for(f"a ready operator ({self.log})", self._answers, 30)
        return self

    def _answers(self) -> bool:
        assert self.running, f"the operator ended: {self.text()}"
        return self.get("/readyz") == (200, "ok\n")

    def send(self, number: signal.Signals) -> None:
        """Send a signal."""
        assert self._process is not None
        self._process.send_signal(number)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """End it and return the exit status."""
        if self._process is None:
            return 0
        if self._process.poll() is None:
            self._process.send_signal(number)
        status = self._process.wait(30)
        self._process = None
        return status

    @property
    def running(self) -> bool:
        """Whether it runs."""
        return self._process is not None and self._process.poll() is None

    def text(self) -> str:
        """All it logged."""
        return self.log.read_text()

    def get(self, path: str) -> tuple[int, str] | None:
        """(status, text) of an HTTP page; None while it does not answer."""
        ports = re.findall(r"probes and metrics at port (\d+)", self.text())
        if not ports:
            return None
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{ports[-1]}{path}", timeout=5) as response:
                return response.status, response.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except OSError:
            return None

    def metric(self, metric: str, /, **labels: str) -> float:
        """Sum of the series of a name that carry these labels."""
        page = self.get("/metrics")
        assert page is not None
        found = re.findall(rf"^{metric}(\{{[^}}]*\}})? (\S+)$", page[1], re.MULTILINE)
        wanted = [f'{label}="{value}"' for label, value in labels.items()]
        return sum(float(value) for text, value in found if all(each in text for each in wanted))

    def writes(self) -> float:
        """Mutating requests so far."""
        return self.metric("headrace_operator_api_writes_total")

    def passes(self) -> float:
        """Passes so far."""
        return self.metric("headrace_operator_reconcile_total")


@contextmanager
def operator(kube: Kubernetes, log: Path, **environment: str) -> Iterator[OperatorProcess]:
    """A running operator for the namespace of *kube*, with a Lease of its own."""
    settings: Mapping[str, str] = {
        "HEADRACE_NAMESPACES": kube.namespace,
        "HEADRACE_LEASE_NAMESPACE": kube.namespace,
        **environment,
    }
    process = OperatorProcess(kube.kubeconfig, log, **settings)
    try:
        yield process.start()
    finally:
        process.stop()


def worker_spec(valkey: str, **fields: Any) -> dict[str, Any]:
    """Spec of a ValkeyWorker."""
    return {"valkey": {"url": valkey}, "celery": {"app": "shop.tasks:app"}, **fields}


def at_rest(kube: Kubernetes, process: OperatorProcess, passes: int = 6) -> None:
    """Assert that over some passes nothing is written: not by the operator's count, and not by any object's version."""
    before, versions, done = process.writes(), kube.versions(), process.passes()
    wait_for(f"{passes} more passes", lambda: process.passes() >= done + passes)
    assert kube.versions() == versions
    assert process.writes() == before
