"""Which field made the pods roll: the answer for the event.

"Why did you restart my pods?" is asked of every operator. The answer names one field and both values, and never a
value that may be secret.
"""

import json
from collections.abc import Iterator
from typing import Any

from headrace.api.resource import ANNOTATION_CONFIG_HASH

_LONGEST_VALUE = 80
_MISSING = object()
_Difference = tuple[tuple[str, ...], Any, Any]
_LIST_KEYS = ("name", "mountPath", "containerPort", "topologyKey", "key")
"""What identifies an entry of a list, in the order tried, as the API server's merge keys do."""


def first_difference(old: Any, new: Any) -> str | None:
    """The first field in which *new* differs from *old*, as ``path: old -> new``; None when nothing does.

    Both are whole objects or parts of one; *old* may be the live object with all that the API server added. A change
    of the pod template comes before any other, a named field before the config hash, and what only *old* has comes
    last: it may be a default. A ConfigMap is compared inside its JSON files, so the path is the resource's own field.
    """
    found = list(_differences(old, new, ()))
    if not found:
        return None
    return _sentence(*min(found, key=_rank))


def _rank(difference: _Difference) -> tuple[bool, bool, bool]:
    path, _, new = difference
    return (new is _MISSING, path[:2] != ("spec", "template"), ANNOTATION_CONFIG_HASH in path)


def _differences(old: Any, new: Any, path: tuple[str, ...]) -> Iterator[_Difference]:
    if isinstance(old, dict) and isinstance(new, dict):
        for key in [*new, *(key for key in old if key not in new)]:
            yield from _differences(old.get(key, _MISSING), new.get(key, _MISSING), (*path, key))
        return
    if old == new:
        return
    entries = (_entries(old, path), _entries(new, path))
    if entries[0] is not None and entries[1] is not None:
        inside = list(_differences(*entries, () if path[:1] == ("data",) else path))
        yield from inside or [(path, old, new)]  # nothing inside: another order, which may matter
    else:
        yield path, old, new


def _entries(value: Any, path: tuple[str, ...]) -> dict[str, Any] | None:
    """*value* as a dictionary to look into: a list by the key of its entries, a JSON file by its content."""
    if isinstance(value, list) and value and all(isinstance(entry, dict) for entry in value):
        key = next((key for key in _LIST_KEYS if all(key in entry for entry in value)), None)
        entries = {f"[{entry[key]}]": entry for entry in value} if key else {}
        return entries if len(entries) == len(value) else None
    if isinstance(value, str) and path[:1] == ("data",) and path[-1].endswith(".json"):
        try:
            content = json.loads(value)
        except ValueError:
            return None
        return content if isinstance(content, dict) else None
    return None


def _sentence(path: tuple[str, ...], old: Any, new: Any) -> str:
    if path[-1] == ANNOTATION_CONFIG_HASH and isinstance(old, str) and isinstance(new, str):
        config_changed = old.partition(".")[0] != new.partition(".")[0]
        return "the configuration changed" if config_changed else "the contents of a referenced Secret changed"
    where = ".".join(path).replace(".[", "[")
    if _may_be_secret(path):
        return f"{where}: {_presence(old, new)}"
    return f"{where}: {_shown(old)} -> {_shown(new)}"


def _may_be_secret(path: tuple[str, ...]) -> bool:
    """Users put passwords into plain variables and annotations although they should not; a file's text is unknown."""
    return path[0] in ("data", "stringData") or "env" in path or "annotations" in path


def _presence(old: Any, new: Any) -> str:
    return "added" if old is _MISSING else "removed" if new is _MISSING else "changed"


def _shown(value: Any) -> str:
    if value is _MISSING:
        return "(unset)"
    text = value if isinstance(value, str) else json.dumps(value, sort_keys=True, ensure_ascii=False)
    return text if len(text) <= _LONGEST_VALUE else f"{text[: _LONGEST_VALUE - 1]}…"
