"""What the modes need of Valkey, as it was recorded; committed as JSON beside this module, by `make permissions`."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.permissions.bed import NAMESPACE, Asked
from tests.permissions.mode import Mode

OPERATOR = Path(__file__).parents[2] / "operator" / "headrace"
FILE = Path(__file__).parent / "needs.json"
COMMANDS = Path(__file__).parent / "valkey-commands.txt"
"""All that Valkey has (`COMMAND LIST`)."""
ALWAYS = frozenset({"auth", "hello"})
"""What any user may run before it has said who it is."""
OWN = "headrace:{NAMESPACE/NAME}:"


@dataclass
class Needs:
    """Of one mode, in the page's words."""

    ran: list[str]
    """Commands that the play ran."""
    scripts: list[str]
    """Scripts that it ran, by their files. All their commands are needed, for they are looked for in advance."""
    keys: dict[str, str]
    """Each pattern with its `R`, `W` or `RW`."""
    own: list[str]
    """Which of our own keys, all of which have one pattern, were used."""
    channels: list[str]

    def rules(self, mode: Mode) -> list[str]:
        """The words of `ACL SETUSER` behind the password."""
        texts = [(OPERATOR / name).read_text() for name in (*self.scripts, *mode.scripts)]
        commands = {*self.ran, *mode.seldom, *in_scripts(texts)}
        keys = [
            _pattern(pattern, uses)
            for pattern, uses in sorted(self.keys.items(), key=lambda each: each[0] != f"{OWN}*")
        ]
        return [*keys, *(f"&{channel}" for channel in self.channels), *(f"+{command}" for command in sorted(commands))]


def _pattern(pattern: str, uses: str) -> str:
    return f"~{pattern}" if uses == "RW" else f"%{uses}~{pattern}"


class UnknownError(Exception):
    """A play used a key or channel that its mode does not name."""


def needs(mode: Mode, asked: Asked) -> Needs:
    """What *mode* needs after *asked*. Raise :class:`UnknownError`."""
    own, keys = _sorted_keys(mode, asked)
    channels, prefix = set(), f"headrace:{{{NAMESPACE}/{mode.name}}}:"
    for channel in asked.channels:
        if channel.startswith(prefix):
            channels.add(f"{OWN}*")
        else:
            channels.add(_named(mode.channels, channel, "channel"))
    ran = "".join(asked.scripts)
    scripts = [name for name, text in all_scripts().items() if text in ran]
    return Needs(sorted(asked.commands - ALWAYS), scripts, keys, sorted(own), sorted(channels))


def all_scripts() -> dict[str, str]:
    """Every Lua file of ours by its name below `operator/headrace`, and its text."""
    return {str(path.relative_to(OPERATOR)): path.read_text() for path in sorted(OPERATOR.rglob("*.lua"))}


def _sorted_keys(mode: Mode, asked: Asked) -> tuple[set[str], dict[str, str]]:
    prefix = f"headrace:{{{NAMESPACE}/{mode.name}}}:"
    own: set[str] = set()
    uses: dict[str, set[str]] = {}
    for key, found in asked.keys.items():
        if key.startswith(prefix):
            own.add(own_name(key.removeprefix(prefix)))
            pattern = f"{OWN}*"
        else:
            pattern = _named(mode.keys, key, "key")
        uses.setdefault(pattern, set()).update(found or "R")
    return own, {pattern: "".join(sorted(found)) for pattern, found in sorted(uses.items())}


def _named(names: Mapping[str, str], found: str, what: str) -> str:
    for pattern, name in names.items():
        if re.fullmatch(re.escape(pattern).replace(r"\*", ".*"), found):
            return name
    raise UnknownError(f"the {what} {found} is not in {sorted(names)}")


def own_name(name: str) -> str:
    """One of our own keys without what differs from run to run."""
    for stem in OWN_FAMILIES:
        if name.startswith(stem):
            return f"{stem}*"
    return re.sub(r"^shard-\d+:", "shard-N:", name)


OWN_FAMILIES = (
    "seen:",
    "delivered:",
    "replay:",
    "done:",
    "lost:",
    "staged:",
    "unacked:",
    "restarts:",
    "received-marks:",
)
"""Beginnings of our own keys of which there are many."""


def in_scripts(texts: Iterable[str]) -> set[str]:
    """The commands that Lua scripts may run: whatever they quote that is one, with its subcommand."""
    known, found = set(COMMANDS.read_text().split()), set()
    for text in texts:
        code = re.sub(r"--[^\n]*", "", text)
        for name, sub in re.findall(r"(?<!== )'([A-Z]+)'(?:, '([A-Z]+)')?", code):
            whole = f"{name}|{sub}".lower()
            if sub and whole in known:
                found.add(whole)
            elif name.lower() in known:
                found.add(name.lower())
    return found


def load() -> dict[str, Needs]:
    """What stands in the file, by the names of the modes."""
    return {name: Needs(**found) for name, found in json.loads(FILE.read_text()).items()} if FILE.exists() else {}


def save(found: Mapping[str, Needs]) -> None:
    """Write the file."""
    FILE.write_text(json.dumps({name: asdict(each) for name, each in found.items()}, indent=1) + "\n")
