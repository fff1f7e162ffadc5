"""Where the operator finds a broker that a resource names. Pure.

A pod finds the Service `valkey` beside it by that one word; the operator lives in another namespace, where the same
word means nothing, or worse, another Service.
"""

from urllib.parse import urlsplit, urlunsplit


def seen_from_operator(url: str, namespace: str) -> str:
    """*url* with the namespace behind a host of one word; other hosts (and ``localhost``) stay as they are."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    if not host or "." in host or ":" in host or host == "localhost":
        return url
    port = f":{parts.port}" if parts.port else ""
    return urlunsplit(parts._replace(netloc=f"{host}.{namespace}{port}"))
