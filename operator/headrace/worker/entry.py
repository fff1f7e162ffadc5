"""``headrace worker``: reads the configuration and starts what its mode needs, and nothing else."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

from headrace.api.valkey_worker import ValkeyWorker
from headrace.api.worker_modes import Mode
from headrace.process import logs
from headrace.process.configuration import FatalConfigurationError, Secrets, load, report_fatal


def run(config: str | Path) -> int:
    """Run the worker until SIGTERM; returns the exit status: 0, or 78 when the configuration is wrong."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # until the mode brings its own handler
    secrets = Secrets()
    logs.configure(secrets.values)
    try:
        worker = load(ValkeyWorker, config)
        logs.configure(secrets.values, worker.identity)
        if worker.spec.mode is Mode.CELERY:
            from headrace.worker.main import serve
        else:
            from headrace.worker.handling import serve
        return serve(worker, secrets)
    except FatalConfigurationError as error:
        return report_fatal(error)
