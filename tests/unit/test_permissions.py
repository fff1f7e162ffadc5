"""The page of permissions has everything that the code can ask for."""

import re
from pathlib import Path

from tests.permissions import page
from tests.permissions.modes import MODES
from tests.permissions.needs import COMMANDS, all_scripts, load, own_name
from tests.permissions.own_keys import explained

OPERATOR = Path(__file__).parents[2] / "operator" / "headrace"
SOURCES = sorted(
    path for part in ("bridge", "celery", "handlers", "process", "worker") for path in (OPERATOR / part).rglob("*.py")
)
KEYS = re.compile(r'f"\{[^}]*prefix\}:([^"{][^"]*)"')
CALLS = re.compile(r"(?:client|valkey|pipeline)\.([a-z_]+)\(")
OTHERS = {"register_script", "pipeline", "execute", "close", "pubsub", "client"}
"""What the client library calls so, and is no command."""
OF_PULSAR = {"subscribe"}


def test_the_page_is_what_its_sources_say() -> None:
    assert page.FILE.read_text() == page.text(), "run make permissions-page"


def test_every_mode_is_recorded() -> None:
    assert list(load()) == [mode.name for mode in MODES]


def test_every_script_belongs_to_a_mode() -> None:
    covered = {name for each in load().values() for name in each.scripts} | {
        name for mode in MODES for name in mode.scripts
    }
    assert sorted(set(all_scripts()) - covered) == []


def test_every_key_and_command_that_the_code_names_is_on_the_page() -> None:
    known = set(COMMANDS.read_text().split())
    allowed = {rule[1:] for mode in MODES for rule in page.rules(mode) if rule.startswith("+")}
    missing = []
    for path in SOURCES:
        text = path.read_text()
        for name in KEYS.findall(text):
            within = "replays:" if path.name == "replay_lines.py" else ""
            explained(own_name(within + re.sub(r"\{[^}]*\}", "X", name)))
        used = {name for name in CALLS.findall(text) if name not in OTHERS | OF_PULSAR}
        commands = {name if name in known else name.replace("_", "|") for name in used} & known
        missing += [f"{path.name}: {name}" for name in commands - allowed - set(page.elsewhere())]
    assert missing == []
