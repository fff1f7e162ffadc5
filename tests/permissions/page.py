"""Writes docs/permissions.md from what was recorded, and reads the rules in it as a user who pastes them would."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.permissions.bed import NAMESPACE
from tests.permissions.mode import Mode
from tests.permissions.modes import CHAPTERS
from tests.permissions.needs import Needs, load
from tests.permissions.own_keys import OWN_KEYS, explained

FILE = Path(__file__).parents[2] / "docs" / "permissions.md"
HERE = Path(__file__).parent
HEAD = (HERE / "head.md").read_text()
WIDTH = 118


def text() -> str:
    """The whole page."""
    needed = load()
    own = {name for each in needed.values() for name in each.own}
    parts = [HEAD.replace("OWN_KEYS_TABLE", _own_keys(own))]
    for introduction, modes in CHAPTERS:
        recorded = [mode for mode in modes if mode.name in needed]
        if recorded:
            parts += [(HERE / introduction).read_text(), *(_rule(mode, needed[mode.name]) for mode in recorded)]
    return "\n".join(part.rstrip("\n") + "\n" for part in parts)


def _rule(mode: Mode, needs: Needs) -> str:
    lines = [f"### {mode.title}", "", "```sh", *_command(needs.rules(mode)), *_grants(mode), "```", "", mode.note]
    return "\n".join(lines)


def _command(rules: Sequence[str]) -> list[str]:
    head = ["valkey-cli", "ACL", "SETUSER", "USERNAME", "reset", "on", ">PASSWORD"]
    lines, line = [], " ".join(map(shlex.quote, head))
    for word in map(shlex.quote, rules):
        if len(line) + len(word) + 1 > WIDTH:
            lines.append(line)
            line = " "
        line = f"{line} {word}"
    return [f"{each} \\" for each in lines] + [line]


def _grants(mode: Mode) -> list[str]:
    return [
        f"pulsar-admin topics grant-permission {mode.topics[topic]} --role ROLE --actions {','.join(actions)}"
        for topic, actions in mode.grants.items()
        if actions
    ]


def elsewhere() -> list[str]:
    """Commands that the page names outside of the rules."""
    return [name.replace("\\", "") for name in re.findall(r"`\+([a-z|\\]+)`", HEAD)]


def _own_keys(own: set[str]) -> str:
    for name in own:
        explained(name)
    return "\n".join(["| key | holds |", "|---|---|", *(f"| {names} | {what} |" for names, what in OWN_KEYS)])


def rules(mode: Mode, name: str | None = None) -> list[str]:
    """The words behind the password in the page's rule of *mode*, with the names of its play for the placeholders.

    *name*: of the resource, when it is not the mode's.
    """
    words = _commands(mode)[0]
    assert words[:7] == ["valkey-cli", "ACL", "SETUSER", "USERNAME", "reset", "on", ">PASSWORD"]
    names = {"NAMESPACE/NAME": f"{NAMESPACE}/{name or mode.name}"}
    names |= {new: old for old, new in {**mode.keys, **mode.channels}.items()}
    return [_named(word, names) for word in words[7:]]


def grants(mode: Mode) -> dict[str, list[str]]:
    """The page's grants of *mode*, by what its play calls the topics."""
    found = {}
    topics = {shown: topic for topic, shown in mode.topics.items()}
    for words in _commands(mode)[1:]:
        assert words[:3] == ["pulsar-admin", "topics", "grant-permission"]
        assert words[4:7] == ["--role", "ROLE", "--actions"]
        found[topics[words[3]]] = words[7].split(",")
    return found


def _commands(mode: Mode) -> list[list[str]]:
    found = re.search(rf"^### {re.escape(mode.title)}\n\n```sh\n(.*?)```", FILE.read_text(), re.DOTALL | re.MULTILINE)
    assert found, f"the page has no rule of {mode.title}"
    return [shlex.split(line) for line in found[1].replace("\\\n", " ").splitlines()]


def _named(word: str, names: Mapping[str, str]) -> str:
    if word.startswith("+"):
        return word
    for name in sorted(names, key=len, reverse=True):
        word = word.replace(name, names[name])
    return word
