"""`python -m tests.permissions record [MODE…]` learns anew what the modes need; `… page [--check]` writes the page."""

from __future__ import annotations

import argparse
import difflib
import sys
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

from tests.integration.dataplane import Processes
from tests.permissions import needs as recorded
from tests.permissions import page
from tests.permissions.bed import LimitedPulsar, LimitedValkey, Record, Scene
from tests.permissions.mode import Mode
from tests.permissions.modes import MODES

SIDE_BY_SIDE = 4


def record(mode: Mode, broker: LimitedPulsar, directory: Path) -> recorded.Needs:
    """Play *mode* with all rights in Valkey, and learn which it used."""
    processes = Processes(directory)
    with LimitedValkey(directory / "valkey") as server:
        scene = Scene(mode.name, server, broker, processes)
        scene.allow(["+@all", "~*", "&*"])
        scene.grant(mode.grants)
        listening = Record(server)
        try:
            with listening.listening():
                mode.play(scene)
                scene.count()
        except AssertionError:
            for each in processes.started:
                sys.stderr.write(f"{each.directory}\n{each.log()[-4000:]}\n")
            raise
        finally:
            processes.end()
        names = sorted(scene.admin.execute_command("COMMAND LIST"))
        recorded.COMMANDS.write_text("\n".join(names) + "\n")
        return recorded.needs(mode, listening.asked())


def record_all(names: list[str]) -> None:
    """Record these modes, or all; write what was learned, of each as soon as it is known."""
    chosen = [mode for mode in MODES if not names or mode.name in names]
    one_by_one = threading.Lock()
    with tempfile.TemporaryDirectory(prefix="permissions-") as folder, ExitStack() as servers:
        broker = LimitedPulsar(Path(folder) / "pulsar")
        if any(mode.grants for mode in chosen):
            servers.enter_context(broker)

        def learn(mode: Mode) -> None:
            found = record(mode, broker, Path(folder) / mode.name)
            with one_by_one:
                known = {**recorded.load(), mode.name: found}
                recorded.save({each.name: known[each.name] for each in MODES if each.name in known})
            sys.stdout.write(f"{mode.name} is recorded\n")

        with ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
            played = [pool.submit(learn, mode) for mode in chosen]
        for each in played:
            each.result()


def main() -> int:
    """Run it; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("record").add_argument("mode", nargs="*")
    commands.add_parser("page").add_argument("--check", action="store_true")
    arguments = parser.parse_args()
    if arguments.command == "record":
        record_all(arguments.mode)
        page.FILE.write_text(page.text())
        return 0
    wanted, found = page.text(), page.FILE.read_text() if page.FILE.exists() else ""
    if arguments.check and wanted != found:
        sys.stdout.writelines(
            difflib.unified_diff(found.splitlines(True), wanted.splitlines(True), str(page.FILE), "made")
        )
        sys.stdout.write(f"{page.FILE} is stale: run make permissions-page\n")
        return 1
    page.FILE.write_text(wanted)
    return 0


if __name__ == "__main__":
    sys.exit(main())
