"""The text of Lua scripts, which stand in files beside the modules that run them. Needs no client of Valkey."""

from __future__ import annotations

from pathlib import Path

HERE = Path(__file__).parent

ALLOWED_IN_FULL = "#!lua flags=allow-oom\n"
"""Begins a script that a Valkey above its `maxmemory` runs too: one that moves messages away, which empties it."""

WRITING = "#!lua\n"
"""Begins a script that a Valkey refuses at once which takes no writes now, for it is full, a replica, or cannot write
its disk: also when the script would write nothing, but only asks whether it could."""


def script_text(*names: str, folders: tuple[Path, ...]) -> str:
    """The text of the ``.lua`` files *names*, one behind the other, each out of the first of *folders* that has it;
    ``preflight`` stands here."""
    return "\n".join(_path(f"{name}.lua", folders).read_text(encoding="utf-8") for name in names)


def _path(name: str, folders: tuple[Path, ...]) -> Path:
    return next(path for folder in (*folders, HERE) if (path := folder / name).exists())
