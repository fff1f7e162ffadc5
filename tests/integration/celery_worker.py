"""A plain ``celery worker`` process, as somebody runs it outside Kubernetes."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.integration.dataplane import ROOT, wait_for


@dataclass
class CeleryWorker:
    """The process and its log."""

    process: subprocess.Popen[bytes]
    path: Path

    @classmethod
    @contextmanager
    def start(cls, app: str, directory: Path, environment: Mapping[str, str], *options: str) -> Iterator[CeleryWorker]:
        """Run ``celery --app APP worker OPTIONS`` until the block ends; it is ready when the block begins."""
        directory.mkdir(parents=True, exist_ok=True)
        path = directory / f"celery-{len(list(directory.glob('celery-*')))}.log"
        command = [sys.executable, "-m", "celery", "--app", app, "worker", "--loglevel=INFO", *options]
        variables = {**os.environ, "PYTHONPATH": f"{ROOT / 'operator'}:{ROOT}", **environment}
        with path.open("wb") as log:
            process = subprocess.Popen(command, cwd=directory, env=variables, stdout=log, stderr=subprocess.STDOUT)
        worker = cls(process, path)
        try:
            wait_for(lambda: " ready." in worker.log() or process.poll() is not None, "the worker is ready")
            assert process.poll() is None, worker.log()
            yield worker
        finally:
            process.kill()
            process.wait(10)

    def log(self) -> str:
        """What it wrote so far."""
        return self.path.read_text(errors="replace")
