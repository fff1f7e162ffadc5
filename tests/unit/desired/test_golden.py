"""Every child of every golden case, to the letter. Regenerate with `UPDATE_GOLDEN=1 pytest tests/unit/desired`."""

import os
from typing import Any

import pytest
import yaml

from tests.unit.desired.cases import CASES, GOLDEN, INPUTS, descendants, load


class _Dumper(yaml.SafeDumper):
    """YAML for reviewers: texts of several lines as blocks, nothing folded, no anchors."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _text)


@pytest.mark.parametrize("case", CASES)
def test_children_are_as_recorded(case: str) -> None:
    children = list(descendants(load(case), INPUTS))
    recorded = GOLDEN / case / "objects.yaml"
    if os.environ.get("UPDATE_GOLDEN"):
        recorded.write_text(yaml.dump_all(children, Dumper=_Dumper, sort_keys=False, width=10_000))
    assert children == list(yaml.safe_load_all(recorded.read_text()))
