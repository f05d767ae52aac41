"""Discovery documents, honest and otherwise."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web

from tests.identity.kit import DISCOVERY, JWKS, RFC8414, Realm
from tests.net.loopback import Loopback, loopback
from tests.net.private_ca import PrivateCa
from ttscache.errors import IssuerUnreachableError
from ttscache.identity import discovery
from ttscache.identity.discovery import Discovery
from ttscache.net.deadline import Deadline
from ttscache.net.fetch import Fetcher


@pytest.fixture
async def other() -> AsyncIterator[Loopback]:
    async with loopback() as server:
        yield server


async def unreachable(realm: Realm, seconds: float = 5.0) -> str:
    with pytest.raises(IssuerUnreachableError) as raised:
        await realm.verify(realm.token(), seconds)
    assert raised.value.retry_after > 0
    assert "issuer 'site'" in raised.value.message
    return raised.value.message


class TestDocument:
    @pytest.mark.parametrize("issuer", [None, "", 5, [], "https://evil.example/", "{url}x", "{url}/", "{upper}"])
    async def test_of_another_issuer(self, realm: Realm, issuer: object) -> None:
        if isinstance(issuer, str):
            issuer = issuer.format(url=realm.url, upper=realm.url.upper())
        realm.say_document(issuer=issuer)
        assert "names another issuer" in await unreachable(realm)
        assert realm.fetches == 0

    async def test_the_slash_at_the_end_may_be_missing_or_be_there(self, realm: Realm) -> None:
        bare = realm.url.rstrip("/")
        for url in (bare, realm.url):
            for named in (bare, realm.url):
                realm.say_document(issuer=named)
                realm.configure({"url": url, "token_issuer": realm.url})
                assert (await realm.verify(realm.token())).subject == "jane"

    @pytest.mark.parametrize(
        "uri",
        [
            None,
            "",
            5,
            "http://iam.example/jwk",
            "http://192.0.2.1/jwk",
            "file:///etc/passwd",
            "ftp://127.0.0.1/",
            "https://user:password@iam.example/jwk",
            "http://127.0.0.1 .evil.example/",
            "//iam.example/jwk",
        ],
    )
    @pytest.mark.parametrize("name", ["jwks_uri", "token_endpoint"])
    async def test_endpoints_that_may_not_be_called(self, realm: Realm, name: str, uri: object) -> None:
        if (name, uri) == ("token_endpoint", None):
            realm.say_document(token_endpoint=None)
            with pytest.raises(IssuerUnreachableError, match="names no token endpoint"):
                await realm.issuer.discovery.token_endpoint(Deadline.after(5.0))
            return
        realm.say_document(**{name: uri})
        assert f"no usable {name}" in await unreachable(realm)

    @pytest.mark.parametrize("body", ["", "<html>It broke</html>", "null", "[]", "5", "{", "[" * 100_000, "9" * 5000])
    async def test_garbage(self, realm: Realm, body: str) -> None:
        realm.server.say(DISCOVERY, body)
        assert "It broke" not in await unreachable(realm)
        assert not realm.issuer.jwks.usable

    async def test_outsized(self, realm: Realm) -> None:
        realm.server.say(DISCOVERY, "x" * 600_000)
        assert "bytes" in await unreachable(realm)

    @pytest.mark.parametrize("status", [301, 302, 307, 308])
    async def test_redirects_lead_nowhere(self, realm: Realm, other: Loopback, status: int) -> None:
        realm.server.say(DISCOVERY, status=status, headers={"Location": other.url + DISCOVERY})
        assert str(status) in await unreachable(realm)
        assert not other.seen

    async def test_keys_that_are_redirected_lead_nowhere(self, realm: Realm, other: Loopback) -> None:
        realm.server.say(JWKS, status=302, headers={"Location": other.url + JWKS})
        assert "302" in await unreachable(realm)
        assert not other.seen

    async def test_slow(self, realm: Realm) -> None:
        released = asyncio.Event()

        async def slow(_: web.Request) -> web.StreamResponse:
            await released.wait()
            return web.Response()

        realm.server.answers[DISCOVERY] = slow
        assert "in time" in await unreachable(realm, 0.1)
        # a second caller joins what is under way
        assert "in time" in await unreachable(realm, 0.1)
        assert realm.server.seen == {DISCOVERY: 1}
        released.set()

    async def test_only_configured_issuers_are_asked(self, realm: Realm, other: Loopback) -> None:
        with pytest.raises(Exception, match="not configured here"):
            await realm.verify(realm.token(iss=other.url))
        assert not other.seen


class TestRfc8414:
    async def test_where_there_is_no_openid_configuration(self, realm: Realm) -> None:
        realm.server.answers[RFC8414] = realm.server.answers.pop(DISCOVERY)
        assert (await realm.verify(realm.token())).subject == "jane"
        assert realm.server.seen == {DISCOVERY: 1, RFC8414: 1, JWKS: 1}

    @pytest.mark.parametrize("status", [403, 500, 302])
    async def test_not_where_it_only_fails(self, realm: Realm, status: int) -> None:
        realm.server.answers[RFC8414] = realm.server.answers[DISCOVERY]
        realm.server.say(DISCOVERY, status=status)
        assert str(status) in await unreachable(realm)
        assert RFC8414 not in realm.server.seen

    async def test_where_there_is_neither(self, realm: Realm) -> None:
        realm.server.answers.clear()
        assert "404" in await unreachable(realm)

    async def test_the_place_of_the_path(self, realm: Realm) -> None:
        """OpenID Connect appends the well-known part, RFC 8414 puts it before the issuer's path."""
        realm.configure({"url": realm.url + "realms/cms"})
        realm.server.answers.clear()
        await unreachable(realm)
        assert set(realm.server.seen) == {"/realms/cms" + DISCOVERY, RFC8414 + "/realms/cms"}


class TestKeeping:
    async def test_a_stale_document_beats_none_and_nobody_waits(
        self, realm: Realm, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        found = realm.issuer.discovery
        await found.metadata(Deadline.after(5.0))
        found._next_fetch = 0.0
        released = asyncio.Event()

        async def slow(_: web.Request) -> web.StreamResponse:
            await released.wait()
            return web.Response(status=503)

        realm.server.answers[DISCOVERY] = slow
        for _ in range(10):
            assert await found.token_endpoint(Deadline.after(0.1)) == realm.url + "token"
        released.set()
        assert not await found.is_reachable(Deadline.after(5.0))
        assert await found.token_endpoint(Deadline.after(0.1)) == realm.url + "token"
        assert realm.server.seen[DISCOVERY] == 2

    async def test_a_failure_is_remembered_for_a_moment_and_told_with_its_reason(self, realm: Realm) -> None:
        realm.server.say(DISCOVERY, status=503)
        for _ in range(10):
            assert "503" in await unreachable(realm)
        assert realm.server.seen[DISCOVERY] <= 3

    async def test_back_again(self, realm: Realm, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(discovery, "backoff", lambda _: 0.0)
        realm.server.say(DISCOVERY, status=503)
        assert not await realm.issuer.is_reachable(Deadline.after(5.0))
        realm.say_document()
        assert await realm.issuer.is_reachable(Deadline.after(5.0))
        assert realm.issuer.jwks.usable


class TestPrivateCa:
    async def test_trusted_where_it_is_configured(self, realm: Realm, tmp_path: Path) -> None:
        authority = PrivateCa()
        ca_file = authority.write(tmp_path / "ca.pem")
        trusting, distrusting = Fetcher(ca_file), Fetcher()
        async with loopback(authority.server_context(tmp_path)) as server:
            url = server.url + "/"
            document = {"issuer": url, "jwks_uri": server.url + JWKS, "token_endpoint": url + "token"}
            server.say(DISCOVERY, document)
            realm.configure({"url": url})
            settings = realm.issuer.settings
            found = await Discovery(settings, trusting).metadata(Deadline.after(5.0))
            assert found.jwks_uri == server.url + JWKS
            with pytest.raises(IssuerUnreachableError, match="not trusted"):
                await Discovery(settings, distrusting).metadata(Deadline.after(5.0))
            # what came over TLS must not lead out of it, not even to a neighbour on this machine
            server.say(DISCOVERY, document | {"token_endpoint": realm.url + "token"})
            with pytest.raises(IssuerUnreachableError, match="no usable token_endpoint"):
                await Discovery(settings, trusting).metadata(Deadline.after(5.0))
        await trusting.close()
        await distrusting.close()
