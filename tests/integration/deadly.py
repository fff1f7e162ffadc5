"""Runs the `headrace` command and kills it (SIGKILL, by itself) at one exact point.

`python -m tests.integration.deadly MODULE:CLASS.METHOD[@before][#N] COMMAND …`: at the end of the Nth call of that
method (the first when left out), or at its beginning. The program itself is the one that is shipped.
"""

import functools
import importlib
import os
import re
import signal
import sys
from typing import Any

from headrace.cli.main import main


def arm(point: str) -> None:
    """Put the death at *point*."""
    match = re.fullmatch(
        r"(?P<module>[\w.]+):(?P<owner>\w+)\.(?P<method>\w+)(?P<before>@before)?(#(?P<call>\d+))?", point
    )
    assert match, point
    owner = getattr(importlib.import_module(match["module"]), match["owner"])
    method = getattr(owner, match["method"])
    left = [int(match["call"] or 1)]

    @functools.wraps(method)
    def deadly(*args: Any, **kwargs: Any) -> Any:
        left[0] -= 1
        if not left[0] and match["before"]:
            os.kill(os.getpid(), signal.SIGKILL)
        value = method(*args, **kwargs)
        if not left[0]:
            os.kill(os.getpid(), signal.SIGKILL)
        return value

    setattr(owner, match["method"], deadly)


if __name__ == "__main__":
    arm(sys.argv[1])
    sys.exit(main(sys.argv[2:]))
