from typing import Any

from headrace.reconcile.cache import Cache
from headrace.reconcile.kinds import Key, Reference


def config_map(version: int, uid: str = "u1", owner: str = "o1") -> dict[str, Any]:
    """A ConfigMap that *owner* owns."""
    return {
        "kind": "ConfigMap",
        "apiVersion": "v1",
        "metadata": {
            "name": "x-worker",
            "namespace": "shop",
            "uid": uid,
            "resourceVersion": str(version),
            "ownerReferences": [{"uid": owner, "kind": "ValkeyWorker", "name": "x"}],
        },
    }


REFERENCE = Reference("ConfigMap", "shop", "x-worker")


def test_our_own_write_is_not_undone_by_an_older_watch_event() -> None:
    cache = Cache()
    assert cache.put(config_map(10))
    assert not cache.put(config_map(9))
    assert not cache.put(config_map(10))
    found = cache.get(REFERENCE)
    assert found is not None
    assert found["metadata"]["resourceVersion"] == "10"
    assert cache.put(config_map(11))


def test_the_owner_index_follows_the_object() -> None:
    cache = Cache()
    cache.put(config_map(1))
    cache.put(config_map(2, owner="o2"))
    assert cache.owned("o1") == {}
    assert list(cache.owned("o2")) == [REFERENCE]
    cache.drop(REFERENCE)
    assert cache.owned("o2") == {}
    assert cache.get(REFERENCE) is None


def test_the_deletion_of_a_former_object_leaves_its_successor() -> None:
    cache = Cache()
    cache.put(config_map(20, uid="new"))
    assert not cache.remove(config_map(15, uid="old"))
    assert cache.get(REFERENCE) is not None
    assert cache.remove(config_map(21, uid="new"))
    assert not cache.remove(config_map(21, uid="new"))


def test_only_our_own_managed_fields_are_kept() -> None:
    cache = Cache()
    made = config_map(1)
    ours = {"manager": "headrace", "operation": "Apply", "fieldsV1": {"f:data": {}}}
    others = [{"manager": "kubectl", "operation": "Apply"}, {**ours, "subresource": "status"}]
    made["metadata"]["managedFields"] = [*others, ours]
    cache.put(made)
    found = cache.get(REFERENCE)
    assert found is not None
    assert found["metadata"]["managedFields"] == [ours]


def test_pods_are_found_by_their_labels_and_trimmed() -> None:
    cache = Cache()
    labels = {"headrace.dev/kind": "ValkeyWorker", "headrace.dev/name": "x"}
    metadata = {"name": "p1", "namespace": "shop", "uid": "u", "resourceVersion": "1", "labels": labels}
    pod = {
        "kind": "Pod",
        "apiVersion": "v1",
        "metadata": metadata,
        "spec": {"big": "x"},
        "status": {"phase": "Running"},
    }
    cache.put(pod)
    (found,) = cache.pods(Key("ValkeyWorker", "shop", "x"), "x")
    assert "spec" not in found
    assert cache.pods(Key("ValkeyWorker", "other", "x"), "x") == []
    cache.remove(pod)
    assert cache.pods(Key("ValkeyWorker", "shop", "x"), "x") == []
