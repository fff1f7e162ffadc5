"""The ConfigMap that tells the pods what to do: the resource itself, less what does not concern them."""

import hashlib
import json
from typing import Any

from headrace.desired.inputs import Inputs
from headrace.desired.labels import child_metadata
from headrace.desired.workload import Workload, workload_name

CONFIG_FILE = "config.json"

NOT_FOR_PODS = ("alerts", "namespaces", "pod", "replicas", "subscriptions", "suspend", "topics")
"""Fields that only the operator acts upon. They stay out, so that scaling or a new alert threshold rolls no pods."""


def build_config_map(resource: Workload) -> dict[str, Any]:
    """The ConfigMap of *resource*, with one file."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": child_metadata(resource, workload_name(resource)),
        "data": {CONFIG_FILE: config_text(resource)},
    }


def config_text(resource: Workload) -> str:
    """The file as the pods read it: JSON that parses as the resource.

    Only what the user set is written. A new operator version with new defaults then changes no file and rolls no pods.
    """
    spec = {field: value for field, value in resource.spec.to_wire().items() if field not in NOT_FOR_PODS}
    config = {
        "apiVersion": resource.api_version,
        "kind": resource.kind,
        "metadata": {
            "name": resource.metadata.name,
            "namespace": resource.metadata.namespace,
            "uid": resource.metadata.uid,
        },
        "spec": spec,
    }
    return json.dumps(config, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def config_hash(resource: Workload, inputs: Inputs) -> str:
    """What rolls the pods when it changes: ``<hash of the config>.<hash of the Secrets>``.

    Two halves, so that :mod:`headrace.desired.difference` can tell a changed Secret from a changed field.
    """
    parts = (config_text(resource), inputs.secrets_hash)
    return ".".join(hashlib.sha256(part.encode()).hexdigest()[:16] for part in parts)
