"""A Celery app for the tests of results: one backend for the worker and its callers."""

import os

import celery

import headrace.celery  # noqa: F401  makes valkey:// known

app = celery.Celery("results")
app.conf.update(
    broker_url=os.environ.get("RESULTS_BROKER", "memory://"),
    result_backend=os.environ.get("RESULTS_BACKEND", "cache+memory://"),
    worker_redirect_stdouts=False,
    task_track_started=True,
)


@app.task(name="results.add")  # type: ignore[untyped-decorator]
def add(left: int, right: int) -> int:
    """A task that gives something."""
    return left + right


@app.task(name="results.total")  # type: ignore[untyped-decorator]
def total(numbers: list[int]) -> int:
    """What a chord ends with."""
    return sum(numbers)


@app.task(name="results.fail")  # type: ignore[untyped-decorator]
def fail(words: str) -> None:
    """A task that gives an error."""
    raise ValueError(words)
