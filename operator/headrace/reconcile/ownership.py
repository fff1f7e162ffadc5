"""Whose an object is, and where it differs from what we want of it. Pure.

We compare only the fields we mean. A value that differs is drift; a field that we once applied and do not want any
more is seen in ``managedFields``; fields of others are none of our business.
"""

import json
from collections.abc import Mapping
from enum import Enum, auto
from typing import Any

from headrace.api.resource import FIELD_MANAGER

_MERGE_KEYS = ("name", "type", "uid", "containerPort", "port", "mountPath", "topologyKey", "key", "alert", "ip")


class Ownership(Enum):
    """Whose an object of a child's name is."""

    OURS = auto()
    PREDECESSOR = auto()
    """Of a deleted resource of the same name; the garbage collector is about to remove it."""
    FOREIGN = auto()


def ownership(live: Mapping[str, Any], resource: Mapping[str, Any]) -> Ownership:
    """Whose *live* is, seen from the custom resource *resource*."""
    metadata = resource["metadata"]
    for owner in live["metadata"].get("ownerReferences") or ():
        if owner.get("uid") == metadata["uid"]:
            return Ownership.OURS
        if (owner.get("kind"), owner.get("name")) == (resource["kind"], metadata["name"]):
            return Ownership.PREDECESSOR
    return Ownership.FOREIGN


def first_drift(desired: Mapping[str, Any], live: Mapping[str, Any]) -> str | None:
    """Path of the first field that must be written; None when *live* is as desired."""
    return _unlike(desired, live, ()) or _surplus(desired, live)


def _unlike(desired: Any, live: Any, path: tuple[str, ...]) -> str | None:
    if _empty(desired):
        return None if _empty(live) else _spell(path)
    if isinstance(desired, Mapping):
        if not isinstance(live, Mapping):
            return _spell(path)
        steps = ((_unlike(value, live.get(name), (*path, name))) for name, value in desired.items())
        return next((found for found in steps if found), None)
    if isinstance(desired, list | tuple):
        return _unlike_list(desired, live, path)
    if desired == live and isinstance(desired, bool) == isinstance(live, bool):
        return None
    return _spell(path)


def _unlike_list(desired: Any, live: Any, path: tuple[str, ...]) -> str | None:
    if not isinstance(live, list):
        return _spell(path)
    key = _merge_key(desired)
    if key is None:
        if len(desired) != len(live):
            return _spell(path)
        pairs = zip(desired, live, strict=True)
    else:
        there = {item.get(key): item for item in live if isinstance(item, Mapping)}
        pairs = zip(desired, [there.get(item[key]) for item in desired], strict=True)
    for index, (wanted, found) in enumerate(pairs):
        label = str(wanted[key]) if key else str(index)
        if different := _unlike(wanted, found, (*path[:-1], f"{path[-1] if path else ''}[{label}]")):
            return different
    return None


def _merge_key(items: Any) -> str | None:
    """The field that names the items of a list, if one does."""
    if not all(isinstance(item, Mapping) for item in items):
        return None
    for key in _MERGE_KEYS:
        values = [json.dumps(item[key]) for item in items if key in item]
        if len(values) == len(items) == len(set(values)):
            return key
    return None


def _surplus(desired: Mapping[str, Any], live: Mapping[str, Any]) -> str | None:
    """The first field that stands in our name and is not desired any more."""
    for entry in live["metadata"].get("managedFields") or ():
        if is_our_apply(entry):
            return _unwanted(entry.get("fieldsV1") or {}, desired, ())
    return None


def is_our_apply(entry: Mapping[str, Any]) -> bool:
    """Whether an entry of ``managedFields`` tells what we applied."""
    ours = (entry.get("manager"), entry.get("operation")) == (FIELD_MANAGER, "Apply")
    return ours and not entry.get("subresource")


def _unwanted(fields: Mapping[str, Any], desired: Any, path: tuple[str, ...]) -> str | None:
    for token, below in fields.items():
        kind, _, detail = token.partition(":")
        if kind == "f":
            if not isinstance(desired, Mapping) or detail not in desired:
                return _spell((*path, detail))
            found = _unwanted(below, desired[detail], (*path, detail))
        elif kind == "k":
            item = _item(desired, json.loads(detail))
            label = (*path[:-1], f"{path[-1] if path else ''}[{detail}]")
            if item is None:
                return _spell(label)
            found = _unwanted(below, item, label)
        elif kind == "v":
            found = None if json.loads(detail) in (desired or ()) else _spell(path)
        else:
            found = None
        if found:
            return found
    return None


def _item(items: Any, keys: Mapping[str, Any]) -> Any:
    """The desired item that the server named by *keys*; keys we left to the server's default do not count."""
    for item in items if isinstance(items, list | tuple) else ():
        if isinstance(item, Mapping) and all(item.get(name, value) == value for name, value in keys.items()):
            return item
    return None


def _empty(value: Any) -> bool:
    """The API server drops empty lists and maps of most fields."""
    return value is None or (isinstance(value, Mapping | list | tuple) and not value)


def _spell(path: tuple[str, ...]) -> str:
    return ".".join(path) or "."
