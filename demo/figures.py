"""The numbers in the live table, each from where it is born: the producer's log and the pods' own metrics."""

import json
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any

import urllib3.exceptions
from kubernetes import client, config
from prometheus_client.parser import text_string_to_metric_families

NAMESPACE = "headrace-demo"
PIPELINE = "flights"
PUBLISHED = {
    "persistent://demo/flights/classified": "done",
    "persistent://demo/flights/events-classify-DLQ": "dead letters",
}
"""What a message is that the results bridge has published to a topic."""
PRODUCER = "app.kubernetes.io/name=flights-producer"
LEDGER = "app.kubernetes.io/name=flights-ledger"
BRIDGES = "headrace.dev/name in (flights-ingest, flights-results)"
PODS = "headrace.dev/name in (flights-ingest, flights-process, flights-results)"
METRICS_PORT = 8080
REQUEST_SECONDS = 5
RATE_WINDOW_SECONDS = 5.0


@dataclass(frozen=True)
class Figures:
    """One look at the pipeline."""

    sent: int = 0
    sending_complete: bool = False
    waiting: int = 0
    done: int = 0
    duplicates: int = 0
    dead_letters: int = 0

    @property
    def finished(self) -> int:
        """Events that have their outcome."""
        return self.done + self.dead_letters

    def all_finished(self, events: int) -> bool:
        """Whether all of so many events have their outcome."""
        return self.sending_complete and self.finished >= events


class Counters:
    """Adds up counters that begin anew when their pod does; what is not seen this time stays as it was."""

    def __init__(self) -> None:
        self._finished: Counter[str] = Counter()
        self._running: Counter[str] = Counter()

    def figures(self, pages: Iterable[str], producer_log: str) -> Figures:
        """Put the figures together from the pods' metrics pages and the last lines that the producer printed.

        What was sent, was not dropped and has no outcome yet, waits: in Pulsar, in Celery's queue, or in the outbox.
        """
        seen: Counter[str] = Counter()
        for page in pages:
            for figure, value in samples(page):
                seen[figure] += int(value)
        for figure, count in seen.items():
            if count < self._running[figure]:
                self._finished[figure] += self._running[figure]
            self._running[figure] = count
        sent, complete = producer_progress(producer_log)
        self._running["sent"] = max(self._running["sent"], sent)
        totals = self._finished + self._running
        return Figures(
            sent=totals["sent"],
            sending_complete=complete,
            waiting=max(0, totals["sent"] - totals["duplicates"] - totals["done"] - totals["dead letters"]),
            done=totals["done"],
            duplicates=totals["duplicates"],
            dead_letters=totals["dead letters"],
        )


def samples(page: str) -> Iterator[tuple[str, float]]:
    """The samples of one metrics page that matter here, by the figure they add to."""
    for family in text_string_to_metric_families(page):
        for sample in family.samples:
            match sample.name, sample.labels:
                case "headrace_bridge_duplicates_dropped_total", _:
                    yield "duplicates", sample.value
                case "headrace_bridge_forwarded_total", {"status": "success", "topic": topic} if topic in PUBLISHED:
                    yield PUBLISHED[topic], sample.value


def producer_progress(log: str) -> tuple[int, bool]:
    """Read the producer's last report: confirmed events, and whether these were all."""
    for line in reversed(log.splitlines()):
        if line.startswith("{"):
            report = json.loads(line)
            return int(report["sent"]), bool(report.get("complete"))
    return 0, False


class Rate:
    """Events a second over the last few seconds."""

    def __init__(self) -> None:
        self._points: deque[tuple[float, int]] = deque()

    def add(self, seconds: float, count: int) -> float:
        """Add a count at a time (seconds of any clock); return the rate now."""
        self._points.append((seconds, count))
        while len(self._points) > 2 and seconds - self._points[1][0] >= RATE_WINDOW_SECONDS:
            self._points.popleft()
        (first_seconds, first), (last_seconds, last) = self._points[0], self._points[-1]
        return max(0.0, (last - first) / (last_seconds - first_seconds)) if last_seconds > first_seconds else 0.0


class Sources:
    """Reads the demo's pods through the API server: this machine has no way into the cluster's network."""

    def __init__(self, kubeconfig: Path) -> None:
        new_client: Any = config.new_client_from_config
        self._api = new_client(config_file=str(kubeconfig))
        self._counters = Counters()

    def figures(self) -> Figures:
        """Return the figures of now; a pod that does not answer (it may be starting) counts as before."""
        pages = [self._get(f"{pod}:{METRICS_PORT}/proxy/metrics") for pod in self._started(BRIDGES)]
        return self._counters.figures(pages, self.log(PRODUCER, lines=20))

    def log(self, selector: str, lines: int = 10_000) -> str:
        """Return the last lines of the log of the pods that a label selects; empty before they run."""
        return "".join(self._get(f"{pod}/log", ("tailLines", lines)) for pod in self._started(selector))

    def _started(self, selector: str) -> list[str]:
        """Names of the pods that a label selects, without those that have not begun."""
        pods = json.loads(self._get("", ("labelSelector", selector)) or "{}")
        return [each["metadata"]["name"] for each in pods.get("items", []) if each["status"]["phase"] != "Pending"]

    def _get(self, path: str, *query: tuple[str, object]) -> str:
        """GET a path below the namespace's pods; empty when that fails: the next look is a second away."""
        try:
            request = self._api.param_serialize(
                "GET",
                f"/api/v1/namespaces/{NAMESPACE}/pods/{path}".rstrip("/"),
                query_params=list(query),
                auth_settings=["BearerToken"],
            )
            answer = self._api.call_api(*request, _request_timeout=REQUEST_SECONDS)
            return str(answer.read().decode()) if answer.status == HTTPStatus.OK else ""
        except (client.ApiException, urllib3.exceptions.HTTPError):
            return ""
