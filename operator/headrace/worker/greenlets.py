"""Pool Gevent: Python's blocking calls become switches between tasks."""

from __future__ import annotations

import json
from pathlib import Path


def patch_if_wanted(config: Path) -> None:
    """Patch the standard library when the resource at *config* asks for the pool Gevent.

    To be called before Celery, the client of Valkey or the user's app are imported: they would keep the calls that
    block. So it reads the file as it is; what is wrong with it is said later, when it is parsed.
    """
    try:
        pool = json.loads(config.read_bytes())["spec"]["celery"]["pool"]
    except (OSError, ValueError, KeyError, TypeError):
        return
    if pool == "Gevent":
        from gevent import monkey

        monkey.patch_all()
