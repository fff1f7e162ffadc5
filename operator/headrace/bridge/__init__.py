"""Moves messages between Valkey and Pulsar: nothing lost, nothing written twice. See ``docs/dataplane.md``."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from headrace.bridge.message import Message
    from headrace.bridge.publication import Publication, hybrid_publish, hybrid_publish_async
    from headrace.bridge.redelivery import ReplayReport, replay_dlq_messages
    from headrace.bridge.sharding import java_string_hash, shard_key

__all__ = [
    "Message",
    "Publication",
    "ReplayReport",
    "hybrid_publish",
    "hybrid_publish_async",
    "java_string_hash",
    "replay_dlq_messages",
    "shard_key",
]

_MODULES = {
    "Message": "message",
    "Publication": "publication",
    "hybrid_publish": "publication",
    "hybrid_publish_async": "publication",
    "ReplayReport": "redelivery",
    "replay_dlq_messages": "redelivery",
    "java_string_hash": "sharding",
    "shard_key": "sharding",
}
"""Where each public name stands. Imported at its first use: a program that publishes needs no Pulsar library."""


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__} has no attribute {name}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
