"""What the watches told us last, of our resources and their children. No secrets.

Our own writes go in at once, so that the next pass sees them before the watch does: the higher resourceVersion wins
(they may be compared as numbers since Kubernetes 1.35, and etcd has always made them so).
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from headrace.api.resource import LABEL_KIND, LABEL_NAME
from headrace.reconcile.kinds import MODELS, Key, Reference
from headrace.reconcile.ownership import is_our_apply

Object = dict[str, Any]


class Cache:
    """Objects by reference, and by the uid of their owner."""

    def __init__(self) -> None:
        self._objects: dict[Reference, Object] = {}
        self._owned: defaultdict[str, set[Reference]] = defaultdict(set)
        self._pods: defaultdict[tuple[str, str, str], set[Reference]] = defaultdict(set)

    def get(self, reference: Reference) -> Object | None:
        """The object as last seen."""
        return self._objects.get(reference)

    def resource(self, key: Key) -> Object | None:
        """One of our resources."""
        return self._objects.get(Reference(key.kind, key.namespace, key.name))

    def resources(self) -> Iterator[Object]:
        """All of our resources."""
        return (body for reference, body in self._objects.items() if reference.kind in MODELS)

    def references(self, kind: str) -> list[Reference]:
        """All objects of a kind."""
        return [reference for reference in self._objects if reference.kind == kind]

    def owned(self, uid: str) -> dict[Reference, Object]:
        """Objects with an owner reference to *uid*."""
        return {reference: self._objects[reference] for reference in self._owned.get(uid, ())}

    def pods(self, key: Key, label: str) -> list[Object]:
        """Pods of a resource; *label*: the value of its name label."""
        found = self._pods.get((key.namespace, key.kind, label), ())
        return [self._objects[reference] for reference in sorted(found)]

    def put(self, body: Object) -> bool:
        """Take in an object; False when a newer one is known, or this very one."""
        reference = Reference.of(body)
        known = self._objects.get(reference)
        if known is not None and _version(body) <= _version(known):
            return False
        self._forget(reference)
        body = _trimmed(body)
        self._objects[reference] = body
        for uid in _owner_uids(body):
            self._owned[uid].add(reference)
        if reference.kind == "Pod":
            self._pods[_pod_key(body)].add(reference)
        return True

    def remove(self, body: Mapping[str, Any]) -> bool:
        """Drop a deleted object; False when it is a later one of the same name that is known, or none."""
        reference = Reference.of(body)
        known = self._objects.get(reference)
        if known is None or (
            known["metadata"].get("uid") != body["metadata"].get("uid") and _version(known) > _version(body)
        ):
            return False
        self._forget(reference)
        return True

    def drop(self, reference: Reference) -> None:
        """Forget an object, so that the next pass asks the API server."""
        self._forget(reference)

    def _forget(self, reference: Reference) -> None:
        known = self._objects.pop(reference, None)
        if known is None:
            return
        for uid in _owner_uids(known):
            _discard(self._owned, uid, reference)
        if reference.kind == "Pod":
            _discard(self._pods, _pod_key(known), reference)


def _discard(index: defaultdict[Any, set[Reference]], entry: Any, reference: Reference) -> None:
    index[entry].discard(reference)
    if not index[entry]:
        del index[entry]


def _version(body: Mapping[str, Any]) -> int:
    version = str(body["metadata"].get("resourceVersion", "0"))
    return int(version) if version.isdecimal() else 0


def _owner_uids(body: Mapping[str, Any]) -> Iterable[str]:
    return [owner["uid"] for owner in body["metadata"].get("ownerReferences") or () if "uid" in owner]


def _pod_key(body: Mapping[str, Any]) -> tuple[str, str, str]:
    labels = body["metadata"].get("labels") or {}
    return (body["metadata"].get("namespace", ""), labels.get(LABEL_KIND, ""), labels.get(LABEL_NAME, ""))


def _trimmed(body: Object) -> Object:
    """Without what no plan reads: most of a Pod, and what others manage."""
    metadata = body["metadata"]
    if body["kind"] == "Pod":
        names = ("name", "namespace", "uid", "resourceVersion", "labels", "deletionTimestamp")
        kept = {name: metadata.get(name) for name in names}
        return {"kind": "Pod", "apiVersion": "v1", "metadata": kept, "status": body.get("status") or {}}
    ours = [entry for entry in metadata.get("managedFields") or () if is_our_apply(entry)]
    return {**body, "metadata": {**metadata, "managedFields": ours}}
