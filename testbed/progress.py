"""What the user sees while something slow runs: one line per step, with the seconds it took."""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator

from rich.console import Console

console = Console(stderr=True, highlight=False)

# Where no terminal is (a CI log), a sign of life this often instead of a spinner.
SIGN_OF_LIFE_SECONDS = 30


@contextlib.contextmanager
def step(what: str) -> Iterator[None]:
    """Show that `what` is going on, and how long it took when it is done."""
    begin = time.monotonic()
    if console.is_terminal:
        status = console.status(f"{what} …")
        shown: contextlib.AbstractContextManager[object] = status
        tick = _Ticker(1, lambda seconds: status.update(f"{what} … {seconds:.0f} s"))
    else:
        shown = contextlib.nullcontext()
        tick = _Ticker(SIGN_OF_LIFE_SECONDS, lambda seconds: say(f"{what} … {seconds:.0f} s so far"))
    try:
        with shown, tick:
            yield
    except BaseException:
        console.print(f"[red]failed[/] {what} after {time.monotonic() - begin:.1f} s", soft_wrap=True)
        raise
    console.print(f"[green]done[/]   {what} [dim]{time.monotonic() - begin:.1f} s[/]", soft_wrap=True)


def say(line: str) -> None:
    """Print one line for people, on standard error."""
    console.print(line, soft_wrap=True)


class _Ticker:
    """Calls `report` with the elapsed seconds every so often while its block runs."""

    def __init__(self, every_seconds: float, report: Callable[[float], object]) -> None:
        self._every_seconds = every_seconds
        self._report = report
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._begin = time.monotonic()

    def _run(self) -> None:
        while not self._done.wait(self._every_seconds):
            self._report(time.monotonic() - self._begin)

    def __enter__(self) -> None:
        self._begin = time.monotonic()
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()
