"""The live table: a table that redraws itself in a terminal, plain lines elsewhere."""

import time
from collections.abc import Callable

from rich.console import Console
from rich.live import Live
from rich.table import Table

from demo.figures import Figures, Rate

LOOK_EVERY_SECONDS = 1.0
LINE_EVERY_SECONDS = 5.0
STALLED_AFTER_SECONDS = 60.0
QUIET_SECONDS = 20.0
"""When all is sent and nothing moves for so long, all has arrived: killed pods take their last counts with them."""
COLUMNS = ("sent", "in queue", "done", "duplicates dropped", "dead-lettered", "events/s")


def show_until_finished(console: Console, look: Callable[[], Figures], events: int) -> Figures:
    """Show the figures until each event has its outcome, or nothing moves any more; return the last."""
    rate, shown = Rate(), Shown(console, events)
    seen, moved = Figures(), time.monotonic()
    with shown:
        while True:
            now = time.monotonic()
            figures = look()
            if figures != seen:
                seen, moved = figures, now
            shown.update(figures, rate.add(now, figures.finished))
            patience = QUIET_SECONDS if figures.sending_complete else STALLED_AFTER_SECONDS
            if figures.all_finished(events) or now - moved > patience:
                return figures
            time.sleep(LOOK_EVERY_SECONDS)


class Shown:
    """Where the figures appear."""

    def __init__(self, console: Console, events: int) -> None:
        self._console = console
        self._events = events
        self._live = Live(console=console, refresh_per_second=4) if console.is_terminal else None
        self._line_due = 0.0
        self._line = ""

    def update(self, figures: Figures, events_per_second: float) -> None:
        """Show these figures now (in plain lines: every few seconds)."""
        cells = [
            figures.sent,
            figures.waiting,
            figures.done,
            figures.duplicates,
            figures.dead_letters,
            round(events_per_second),
        ]
        if self._live:
            self._live.update(table(cells, figures.finished / self._events))
            return
        self._line = "  ".join(f"{name}: {cell}" for name, cell in zip(COLUMNS, cells, strict=True))
        if time.monotonic() >= self._line_due:
            self._print_line()

    def _print_line(self) -> None:
        self._console.print(self._line, soft_wrap=True)
        self._line_due = time.monotonic() + LINE_EVERY_SECONDS
        self._line = ""

    def __enter__(self) -> None:
        if self._live:
            self._live.start()

    def __exit__(self, *_: object) -> None:
        if self._live:
            self._live.stop()
        elif self._line:
            self._print_line()


def table(cells: list[int], share: float) -> Table:
    """One row of figures under their names."""
    drawn = Table(title=f"flights: {min(share, 1.0):.0%}", title_justify="left")
    for name in COLUMNS:
        drawn.add_column(name, justify="right", min_width=9)
    drawn.add_row(*(f"{cell:,}" for cell in cells))
    return drawn
