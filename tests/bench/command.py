"""What the commands of all benches share: a scale to choose, a warning about a busy machine, an orderly end."""

import argparse
import os
import signal
import sys
import time
from collections.abc import Callable
from typing import Protocol, TypeVar

from rich.console import Console

from testbed.progress import say

LOAD = 0.5
"""A load average above this before we begin means that somebody else computes here."""


class Rounds(Protocol):
    """How much is measured."""

    @property
    def rounds(self) -> int:
        """How often each contender runs."""


S = TypeVar("S", bound=Rounds)


def run(
    target: str,
    description: str | None,
    default: S,
    forms: dict[str, tuple[S, str]],
    bench: Callable[[S, Console], None],
) -> None:
    """Measure and report by *bench*, at the scale that the command line asks for.

    *forms*: by option, its scale and what it is for.
    """
    parser = argparse.ArgumentParser(prog=f"make {target}", description=(description or "").partition("\n")[0])
    for option, (_, purpose) in forms.items():
        parser.add_argument(f"--{option}", action="store_true", help=purpose)
    chosen = vars(parser.parse_args())
    scale = next((scale for option, (scale, _) in forms.items() if chosen[option]), default)
    # servers are stopped and their folders removed, as by Ctrl-C
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    began, busy = time.monotonic(), os.getloadavg()[0]
    if busy > LOAD:
        say(f"[yellow]the load of this machine is {busy:.1f}: these figures are not worth publishing[/]")
    bench(scale, Console(width=None if Console().is_terminal else 140, highlight=False))
    say(f"{scale.rounds} rounds in {time.monotonic() - began:.0f} s; load at the beginning {busy:.1f}")
