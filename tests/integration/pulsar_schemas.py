"""Schemas of topics, as an administrator gives and takes them."""

from typing import Any

from testbed.pulsar import Pulsar
from tests.integration.dataplane import admin_path, call_admin, wait_for


def put_schema(broker: Pulsar, topic: str, schema: dict[str, Any]) -> None:
    """Give a topic a schema that every producer must have."""
    call_admin(broker, "POST", f"{_schema_path(topic)}", schema)
    enforce_schema(broker, topic)


def enforce_schema(broker: Pulsar, topic: str) -> None:
    """Let a topic take no producers without its schema."""
    call_admin(broker, "POST", f"{admin_path(topic)}/schemaValidationEnforced", True)
    enforced = f"{admin_path(topic)}/schemaValidationEnforced?applied=true"
    wait_for(lambda: call_admin(broker, "GET", enforced), "the policy", 10)


def delete_schema(broker: Pulsar, topic: str) -> None:
    """Take the schema away again."""
    call_admin(broker, "DELETE", f"{_schema_path(topic)}?force=true")


def _schema_path(topic: str) -> str:
    return f"/admin/v2/schemas/{topic.removeprefix('persistent://')}/schema"
