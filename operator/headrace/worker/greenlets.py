"""Pool Gevent: Python's blocking calls become switches between tasks."""

from __future__ import annotations

from pathlib import Path

from headrace.api.resource_file import UnreadableFileError, the_resource


def patch_if_wanted(config: Path) -> None:
    """Patch the standard library when the resource at *config* asks for the pool Gevent.

    To be called before Celery, the client of Valkey or the user's app are imported: they would keep the calls that
    block. So it reads the file as it is; what is wrong with it is said later, when it is parsed.
    """
    try:
        pool = the_resource(config.read_bytes(), "ValkeyWorker")["spec"]["celery"]["pool"]
    except (OSError, UnreadableFileError, KeyError, TypeError):
        return
    if pool == "Gevent":
        from gevent import monkey

        monkey.patch_all()
