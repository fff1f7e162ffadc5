"""The tables of docs/dataplane.md name each key of Valkey that the code of bridges names."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[3]
CODE = sorted((ROOT / "operator/headrace/bridge").glob("*.py"))
NAMED = re.compile(r"""f"\{(?:self\.)?_?(?:remembered\.)?(?:prefix|base)\}:([a-z-]+(?::[a-z-]+)?)""")
_SECTION = re.compile(r"^## What is remembered\n(.*?)^## ", re.MULTILINE | re.DOTALL)

PARTS = {
    "outbox": "entries of a list: the outbox of a line",
    "received-marks": "a channel, not a key",
    "to": "the lines of a version before this one, which are published and forgotten",
}
"""What a table need not name, and why."""


def keys_in_code() -> set[str]:
    found = {name for path in CODE for name in NAMED.findall(path.read_text())}
    return {name.rstrip(":-") for name in found} - PARTS.keys()


def keys_in_tables() -> set[str]:
    [section] = _SECTION.findall((ROOT / "docs/dataplane.md").read_text())
    first_cells = [line.split("|")[1] for line in section.splitlines() if line.startswith("| ")]
    names = {name for cell in first_cells for name in re.findall(r"`…:([^`]+)`", cell)}
    return {re.sub(r"[:-]?<[^>]*>.*", "", name).rstrip(":-") for name in names}


def test_p8_each_key_that_the_code_names_has_a_row() -> None:
    assert keys_in_code() - keys_in_tables() == set()


def test_each_row_names_a_key_of_the_code() -> None:
    assert keys_in_tables() - keys_in_code() == set()
