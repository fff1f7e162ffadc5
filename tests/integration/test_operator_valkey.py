"""What a real Valkey says of itself, and what the operator makes of it."""

from typing import Any

from headrace.reconcile.secrets import Credentials
from headrace.reconcile.valkey_numbers import ask_valkey
from headrace.reconcile.valkey_safety import safety_findings
from testbed.valkey import Valkey
from tests.unit.reconcile.bodies import body, resource


async def reason(kind: str, valkey: Valkey, credentials: Credentials = Credentials()) -> str:  # noqa: B008 - frozen
    changes: dict[str, Any] = {"valkey": {"url": valkey.url}}
    numbers = await ask_valkey(resource(body(kind, **changes)), credentials)
    [finding] = safety_findings(numbers.valkey, celery=True)
    return finding.reason


async def test_an_unsafe_valkey_is_told(valkey: Valkey) -> None:
    with valkey.client() as client:
        for kind in ("ValkeyWorker", "PulsarBridge"):
            assert await reason(kind, valkey) == "Succeeded"
        client.config_set("maxmemory-policy", "volatile-lru")
        assert await reason("ValkeyWorker", valkey) == "Succeeded"  # there is no limit to come to
        client.config_set("maxmemory", "1gb")
        assert await reason("ValkeyWorker", valkey) == "EvictionPossible"
        client.config_set("maxmemory", "0")
        client.config_set("appendonly", "no")
        assert await reason("PulsarBridge", valkey) == "AppendOnlyFileOff"
        client.execute_command("ACL SETUSER counter on >secret ~* &* +@all -info -config")
        limited = Credentials(valkey_username="counter", valkey_password="secret")
        assert await reason("ValkeyWorker", valkey, limited) == "NotPermitted"
