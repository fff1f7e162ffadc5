"""All modes, in the order of the page."""

from tests.permissions import application_modes, bridge_modes, worker_modes
from tests.permissions.mode import Mode

CHAPTERS: list[tuple[str, list[Mode]]] = [
    ("bridges.md", bridge_modes.MODES),
    ("workers.md", worker_modes.MODES),
    ("applications.md", application_modes.MODES),
]
"""Each with the file of its introduction."""
MODES: list[Mode] = [mode for _, modes in CHAPTERS for mode in modes]
