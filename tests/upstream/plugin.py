# mypy: disallow-untyped-calls=False
"""A plugin of pytest: puts our classes in the place of those that a suite tests, and skips what does not apply."""

from __future__ import annotations

import os
import sys
import types
from collections.abc import Iterable
from typing import Any

import pytest
import redis
from celery.app import backends
from celery.backends import redis as celery_redis
from kombu import transport as kombu_transport
from kombu.transport import redis as kombu_redis

import headrace.celery  # noqa: F401  makes valkey:// known
from headrace.celery import results, transport
from headrace.celery.transport import channel, poller, qos, sentinel
from tests.upstream.skips import SKIPS

UNDER_TEST = {
    "Channel": transport.Transport.Channel,
    "MultiChannelPoller": poller.Poller,
    "QoS": qos.QoS,
    "SentinelChannel": transport.SentinelTransport.Channel,
    "SentinelTransport": transport.SentinelTransport,
    "Transport": transport.Transport,
}
"""What stands for the class of that name in kombu's module."""
SUITE = os.environ.get("HEADRACE_UPSTREAM", "")


def pytest_configure() -> None:
    """Before a test module is imported."""
    if SUITE == "celery-unit":
        celery_redis.RedisBackend = results.Backend
        celery_redis.SentinelBackend = results.SentinelBackend
        sys.modules["fakeredis"] = types.ModuleType("fakeredis")  # tests of scripts: they get the real server
        sys.modules["fakeredis"].FakeRedis = _empty_server  # type: ignore[attr-defined]
    if SUITE == "celery-integration":
        backends.BACKEND_ALIASES["redis"] = "headrace.celery.results:Backend"
    if SUITE.startswith("kombu"):
        for scheme in ("redis", "rediss", "sentinel"):
            ours = scheme.replace("rediss", "valkeys").replace("redis", "valkey").replace("sentinel", "valkey-sentinel")
            kombu_transport.TRANSPORT_ALIASES[scheme] = kombu_transport.TRANSPORT_ALIASES[ours]
        setattr(sentinel, "SCHEME", "sentinel")  # noqa: B010
    if SUITE == "kombu-integration":  # its other classes play an old kombu at the other end
        setattr(kombu_redis, "SentinelChannel", transport.SentinelTransport.Channel)  # noqa: B010
    if SUITE == "kombu-unit":
        for name, substitute in UNDER_TEST.items():
            setattr(kombu_redis, name, substitute)
        # the stand-ins for a server cannot say what they are
        setattr(channel.Channel, "_refuse_cluster", lambda _: None)  # noqa: B010


@pytest.hookimpl(tryfirst=True)  # before -k takes some away
def pytest_collection_modifyitems(items: Iterable[pytest.Item]) -> None:
    """Mark what is skipped, and see to it that each skip still names a test."""
    reasons = SKIPS.get(SUITE, {})
    unused = set(reasons)
    for item in items:
        name = item.nodeid.partition("::")[2]
        for start, reason in reasons.items():
            if name == start or name.startswith((f"{start}::", f"{start}[")):
                unused.discard(start)
                item.add_marker(pytest.mark.skip(reason=reason))
    if unused:
        raise pytest.UsageError(f"skips.py names tests that are not there: {', '.join(sorted(unused))}")


def pytest_itemcollected(item: pytest.Item) -> None:
    """Teach the stand-in for a server, that Celery's unit tests bring, the script that it cannot know."""
    module: Any = getattr(item, "module", None)
    if SUITE != "celery-unit" or module is None or hasattr(module.Redis, "knows_ours"):
        return
    known = module.Redis.register_script

    def register_script(self: Any, text: str) -> Any:
        return _store(self) if text == results._STORE else known(self, text)

    module.Redis.register_script = register_script
    module.Redis.knows_ours = True


def _empty_server() -> Any:
    client = redis.Redis(host=os.environ["REDIS_HOST"], port=int(os.environ["REDIS_PORT"]))
    client.flushall()
    return client


def _store(server: Any) -> Any:
    """``store_state.lua`` for states that a JSON serializer wrote, or any that are new."""

    def store(keys: list[Any], args: list[Any]) -> Any:
        [key], (state, seconds, success, begin, seen) = keys, args
        present = server.get(key)
        if present is not None and present != (seen or None):
            text = present.decode() if isinstance(present, bytes) and success else present
            if not success or not text.startswith(begin):
                return present
            if text.startswith(success):
                return None
        if seconds:
            server.setex(key, seconds, state)
        else:
            server.set(key, state)
        server.publish(key, state)
        return None

    return store
