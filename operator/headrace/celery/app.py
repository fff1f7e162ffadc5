"""The user's Celery app: found, checked, configured in place."""

from __future__ import annotations

import os

import celery

from headrace.api.valkey_worker import ValkeyWorker
from headrace.celery.brokers import Access
from headrace.celery.settings import settings
from headrace.process.attribute import load_attribute
from headrace.process.configuration import FatalConfigurationError
from headrace.process.valkey_server import ValkeyServer

BUILT_IN = "celery."
"""Celery's own tasks begin so."""


def load_app(path: str) -> celery.Celery:
    """Import ``module:attribute``; raise ``FatalConfigurationError`` that says why it cannot be."""
    module, found = load_attribute("celery.app", path)
    if not isinstance(found, celery.Celery):
        attribute = path.partition(":")[2]
        apps = [name for name, value in vars(module).items() if isinstance(value, celery.Celery)]
        hint = f"; it has {', '.join(apps)}" if apps else ""
        raise FatalConfigurationError(f"celery.app: {module.__name__} has no Celery app named {attribute}{hint}.")
    return found


def task_names(app: celery.Celery) -> list[str]:
    """Names of the app's own tasks."""
    return sorted(name for name in app.tasks if not name.startswith(BUILT_IN))


def configure(app: celery.Celery, worker: ValkeyWorker, server: ValkeyServer, access: Access) -> None:
    """Settle the app's settings and tasks; raise ``FatalConfigurationError`` when a configured task is not there."""
    for variable in ("CELERY_BROKER_URL", "CELERY_BROKER_READ_URL", "CELERY_BROKER_WRITE_URL", "CELERY_RESULT_BACKEND"):
        os.environ.pop(variable, None)  # they would win over every setting
    app.conf.update(settings(worker, server, access))
    try:
        app.loader.import_default_modules()
        app.finalize(auto=True)
    except Exception as error:
        raise FatalConfigurationError(
            f"celery.app: loading its tasks failed: {type(error).__name__}: {error}."
        ) from error
    if worker.celery.beat.enabled and not app.conf.beat_schedule:
        raise FatalConfigurationError(
            f"celery.beat: {worker.celery.app} has no beat_schedule: add periodic tasks to it, or leave beat out."
        )
    wanted = worker.spec.outbox.tasks if worker.spec.outbox else ()
    missing = [name for name in wanted if name not in app.tasks]
    if missing:
        known = ", ".join(task_names(app)) or "none"
        raise FatalConfigurationError(
            f"outbox.tasks: {', '.join(missing)} is not registered in {worker.celery.app}, which has: {known}."
        )
