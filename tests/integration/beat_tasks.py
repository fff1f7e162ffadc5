"""A Celery app with periodic tasks on a queue that nobody serves, so that each one sent can be counted."""

from datetime import timedelta

import celery

app = celery.Celery("beat", broker="redis://nowhere.invalid:1/0")

TICKS = "ticks"


@app.task(name="beat.tick")  # type: ignore[untyped-decorator]
def tick(name: object) -> None:
    """Never run."""


def _entry(seconds: float, argument: object) -> dict[str, object]:
    every = timedelta(seconds=seconds)
    return {"task": "beat.tick", "schedule": every, "args": (argument,), "options": {"queue": TICKS}}


app.conf.beat_schedule = {
    "often": _entry(0.2, "often"),
    "hourly": _entry(3600, "hourly"),
    "overdue": _entry(3600, "overdue"),
    "impossible": _entry(3600, object()),
}
