"""Tokens of a Pulsar that asks who comes."""

import base64
import hashlib
import hmac
import json

KEY = b"a secret of this test bed alone, and long enough"


def token(role: str) -> str:
    """A JSON web token (RFC 7519) of *role*, signed by HMAC-SHA256."""

    def part(content: bytes) -> str:
        return base64.urlsafe_b64encode(content).rstrip(b"=").decode()

    text = f"{part(json.dumps({'alg': 'HS256'}).encode())}.{part(json.dumps({'sub': role}).encode())}"
    return f"{text}.{part(hmac.new(KEY, text.encode(), hashlib.sha256).digest())}"


def guarded(superuser: str) -> str:
    """Configuration of a broker that wants tokens, and permissions for all roles but *superuser*."""
    return (
        f"authenticationEnabled=true\nauthorizationEnabled=true\nsuperUserRoles={superuser}\n"
        "authenticationProviders=org.apache.pulsar.broker.authentication.AuthenticationProviderToken\n"
        f"tokenSecretKey=data:;base64,{base64.b64encode(KEY).decode()}\n"
        "brokerClientAuthenticationPlugin=org.apache.pulsar.client.impl.auth.AuthenticationToken\n"
        f"brokerClientAuthenticationParameters=token:{token(superuser)}\n"
    )
