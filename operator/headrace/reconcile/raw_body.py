"""What is read of resources as they are, parsed or not: many are of no concern. Pure and total."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

_PORTS = {"valkey": 6379, "valkeys": 6379, "pulsar": 6650, "pulsar+ssl": 6651}


def part(body: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """The mapping *name* of *body*; empty when it is none."""
    found = body.get(name)
    return found if isinstance(found, Mapping) else {}


def full_name(body: Mapping[str, Any]) -> str:
    """``namespace/name``."""
    metadata = part(body, "metadata")
    return f"{metadata.get('namespace')}/{metadata.get('name')}"


def server(body: Mapping[str, Any], url: Any) -> str:
    """Which server, and of Valkey which database, *url* means in *body*, however it is spelled: a host without a dot is
    a Service of the resource's own namespace."""
    text = url if isinstance(url, str) else ""
    try:
        where = urlsplit(text.partition(",")[0])
        port = where.port or _PORTS.get(where.scheme, 0)
    except ValueError:
        return text
    host = (where.hostname or "").rstrip(".")
    for ending in (".cluster.local", ".svc"):
        host = host.removesuffix(ending)
    if "." not in host:
        host = f"{host}.{part(body, 'metadata').get('namespace')}"
    return f"{host}:{port}/{where.path.strip('/') or 0}"
