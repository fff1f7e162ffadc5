"""The admin client against a real HTTP server: what Pulsar's brokers do to callers."""

from collections.abc import AsyncIterator

import aiohttp
import pytest
from aiohttp import web

from headrace.pulsar.admin import PulsarAdmin, subscription_path, topic_path
from headrace.pulsar.errors import (
    AuthenticationFailedError,
    ConflictError,
    NotFoundError,
    PulsarUnreachableError,
)


async def _answer(request: web.Request) -> web.Response:
    what = request.path.rpartition("/")[2]
    if what == "moved":
        raise web.HTTPTemporaryRedirect(f"{request.url.origin()}/admin/v2/whoami?authoritative=true")
    if what == "loop":
        raise web.HTTPTemporaryRedirect("/admin/v2/loop")
    if what == "whoami":
        return web.json_response({"token": request.headers.get("Authorization"), "query": dict(request.query)})
    if what == "html":
        return web.Response(text="<html>hello</html>")
    if what == "empty":
        return web.Response(status=204)
    return web.json_response({"reason": "because of this"}, status=int(what))


@pytest.fixture
async def admin() -> AsyncIterator[PulsarAdmin]:
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", _answer)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    port = runner.addresses[0][1]
    async with aiohttp.ClientSession() as session:
        yield PulsarAdmin(session, f"http://127.0.0.1:{port}/", token="secret-token")
    await runner.cleanup()


async def test_a_redirect_is_followed_with_the_credentials(admin: PulsarAdmin) -> None:
    answer = await admin.get("/moved")
    assert answer == {"token": "Bearer secret-token", "query": {"authoritative": "true"}}


async def test_an_endless_redirect_ends(admin: PulsarAdmin) -> None:
    with pytest.raises(PulsarUnreachableError, match="redirects without end"):
        await admin.put("/loop", {})


async def test_no_content_is_none(admin: PulsarAdmin) -> None:
    assert await admin.get("/empty") is None


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (401, AuthenticationFailedError),
        (403, AuthenticationFailedError),
        (404, NotFoundError),
        (409, ConflictError),
        (412, ConflictError),
        (500, PulsarUnreachableError),
        (503, PulsarUnreachableError),
    ],
)
async def test_each_refusal_has_its_error_with_pulsars_reason(
    admin: PulsarAdmin, status: int, error: type[Exception]
) -> None:
    with pytest.raises(error, match="because of this") as caught:
        await admin.post(f"/{status}", True)
    assert "secret-token" not in str(caught.value)


async def test_another_server_is_not_taken_for_pulsar(admin: PulsarAdmin) -> None:
    with pytest.raises(PulsarUnreachableError, match="not Pulsar's admin API"):
        await admin.get("/html")


async def test_nobody_there() -> None:
    async with aiohttp.ClientSession() as session:
        with pytest.raises(PulsarUnreachableError, match="does not answer: Connection refused"):
            await PulsarAdmin(session, "http://127.0.0.1:1").get("/clusters")


def test_names_are_quoted() -> None:
    assert topic_path("persistent://shop/orders/a/b c") == "/persistent/shop/orders/a%2Fb%20c"
    assert subscription_path("persistent://s/o/t", "s?").endswith("/subscription/s%3F")
