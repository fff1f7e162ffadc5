"""The shop's app in a worker whose first consumers, as many as DEAF says, take nothing."""

import os
from typing import Any

from celery import bootsteps

from tests.integration.shop_tasks import app

__all__ = ["app"]

_born: list[None] = []


class Deafness(bootsteps.StartStopStep):  # type: ignore[misc]
    """Lets Celery believe that it consumes."""

    requires = ("celery.worker.consumer.tasks:Tasks",)

    def start(self, consumer: Any) -> None:
        """A new connection, and with it a new consumer."""
        _born.append(None)
        if len(_born) <= int(os.environ["DEAF"]):
            consumer.task_consumer.consume = lambda *_, **__: None


app.steps["consumer"].add(Deafness)
