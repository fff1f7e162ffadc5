"""Moves messages between Valkey and Pulsar: nothing lost, nothing written twice. See ``docs/dataplane.md``."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from headrace.bridge.publication import Publication, hybrid_publish, hybrid_publish_async

__all__ = ["Publication", "hybrid_publish", "hybrid_publish_async"]

_MODULES = {
    "Publication": "publication",
    "hybrid_publish": "publication",
    "hybrid_publish_async": "publication",
}
"""Where each public name stands. Imported at its first use: a program that publishes needs no Pulsar library."""


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__} has no attribute {name}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
