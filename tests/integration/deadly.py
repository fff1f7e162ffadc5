"""Runs the `headrace` command and kills it (SIGKILL, by itself) at one exact point.

`python -m tests.integration.deadly MODULE:CLASS.METHOD[@before][#N][!held|!stopped] COMMAND …`: at the end of the Nth
call of that method (the first when left out), or at its beginning. `!held`: the thread is held there for a while first,
and the others go on, so that what they had still to do happens. `!stopped`: it is stopped (SIGSTOP) there instead, and
goes on at a SIGCONT. The program itself is the one that is shipped.
"""

import functools
import importlib
import os
import re
import signal
import sys
import time
from collections.abc import Callable
from typing import Any

from headrace.cli.main import main

HELD_SECONDS = 0.4
"""Longer than Pulsar's client waits before it sends acknowledgements, 0.1 s."""


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _die_later() -> None:
    time.sleep(HELD_SECONDS)
    _die()


def _stop() -> None:
    os.kill(os.getpid(), signal.SIGSTOP)


ENDS: dict[str | None, Callable[[], None]] = {None: _die, "!held": _die_later, "!stopped": _stop}


def arm(point: str) -> None:
    """Put the death at *point*."""
    match = re.fullmatch(
        r"(?P<module>[\w.]+):(?P<owner>\w+)\.(?P<method>\w+)(?P<before>@before)?(#(?P<call>\d+))?(?P<end>!\w+)?", point
    )
    assert match, point
    end = ENDS[match["end"]]
    owner = getattr(importlib.import_module(match["module"]), match["owner"])
    method = getattr(owner, match["method"])
    left = [int(match["call"] or 1)]

    @functools.wraps(method)
    def deadly(*args: Any, **kwargs: Any) -> Any:
        left[0] -= 1
        now = not left[0]  # another call may come in another thread
        if now and match["before"]:
            end()
        try:
            value = method(*args, **kwargs)
        except BaseException:
            left[0] = 1 if now and not match["before"] else left[0]  # it did not get there: the next call counts
            raise
        if now and not match["before"]:
            end()
        return value

    setattr(owner, match["method"], deadly)


if __name__ == "__main__":
    arm(sys.argv[1])
    sys.exit(main(sys.argv[2:]))
