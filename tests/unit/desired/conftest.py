"""promtool, which judges the generated rules."""

import importlib.util
import shutil

import pytest


@pytest.fixture(scope="session")
def promtool() -> str:
    """The test bed's promtool, else the one on PATH."""
    if importlib.util.find_spec("testbed.promtool"):
        return str(importlib.import_module("testbed.promtool").path())
    found = shutil.which("promtool")
    assert found, "promtool is missing: apt-get install prometheus"
    return found
