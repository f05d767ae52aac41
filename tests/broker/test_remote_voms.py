"""A VO's server that answers anything: what is taken, what is refused in words, and that nothing hangs."""

import asyncio
import base64
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from aiohttp import web

from proxy_gen.credential import Credential
from proxy_gen.keys import KeyKind
from proxy_gen.voms.authority import AttributeAuthority
from proxy_gen.voms.certificate import AttributeCertificate
from proxy_gen.voms.fqan import Fqan
from proxy_gen.voms.vomsdir import lsc_file
from tests.broker.ordering import JANE
from tests.broker.world import TOP
from tests.net.loopback import Loopback, loopback
from tests.net.private_ca import PrivateCa
from tests.tools.minting import DAY, HOUR, authority, end_entity, key_of
from ttscache.broker.orders import Parent
from ttscache.broker.remote_attributes import RemoteAttributes
from ttscache.config.settings import RemoteVoms
from ttscache.errors import FqanRefusedError, UpstreamUnavailableError
from ttscache.net.deadline import Deadline
from ttscache.net.fetch import Fetcher
from ttscache.upstream.voms_server import VomsServer

CA = authority(f"{TOP}/CN=CA")
HOLDER, ANOTHER = end_entity(CA, JANE), end_entity(CA, JANE)
HOST = end_entity(CA, f"{TOP}/CN=voms.example", KeyKind.RSA_2048, now=datetime.now(UTC) - DAY, lifetime=3 * DAY)
SIGNER = AttributeAuthority(HOST, "cms", "127.0.0.1", 15000)
STRANGER = AttributeAuthority(
    end_entity(authority(f"{TOP}/CN=CA"), f"{TOP}/CN=voms.example", KeyKind.RSA_2048), "cms", "127.0.0.1", 15000
)
OTHER_VO = AttributeAuthority(HOST, "atlas", "127.0.0.1", 15000)
CMS, PRODUCTION = Fqan.parse("/cms"), Fqan.parse("/cms/Role=production")


@dataclass
class Bench:
    """A VO's server, and the daemon's side of it."""

    server: Loopback
    source: RemoteAttributes
    client: VomsServer

    def say(self, body: str | bytes, status: int = 200, **headers: str) -> None:
        async def answer(_: web.Request) -> web.Response:
            content = body.encode() if isinstance(body, str) else body
            return web.Response(body=content, status=status, headers=headers, content_type="text/xml")

        self.server.answers["/generate-ac"] = answer

    def give(self, certificate: bytes) -> None:
        self.say(f"<voms><ac>{base64.b64encode(certificate).decode()}</ac></voms>")

    async def ask(self, *fqans: Fqan, seconds: float = 5) -> AttributeCertificate:
        parent = Parent(HOLDER.chain, key_of(HOLDER))
        return await self.source.issue(parent, fqans or (CMS,), Deadline.after(seconds))

    async def refused(self, *fqans: Fqan, seconds: float = 5) -> str:
        with pytest.raises(UpstreamUnavailableError) as raised:
            await self.ask(*fqans, seconds=seconds)
        assert "\n" not in raised.value.message
        assert raised.value.retry_after > 0
        return raised.value.message


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    private = PrivateCa()
    anchors = private.write(tmp_path / "anchors.pem")
    fetcher = Fetcher(anchors)
    async with loopback(private.server_context(tmp_path)) as server:
        trusted = (CA.certificate, private.certificate)
        settings = RemoteVoms("cms", server.url, "127.0.0.1", 3600, lsc_file(HOST.chain), anchors, trusted)
        client = VomsServer("cms", server.url, trusted, fetcher)
        yield Bench(server, RemoteAttributes(settings, client, time.time), client)
    await fetcher.close()


def made(
    by: AttributeAuthority = SIGNER,
    holder: Credential = HOLDER,
    fqans: tuple[Fqan, ...] = (CMS,),
    age: timedelta = timedelta(),
) -> bytes:
    return by.issue(holder.leaf, fqans, now=datetime.now(UTC) - age, lifetime=HOUR).der


async def test_a_good_answer(bench: Bench) -> None:
    bench.give(made(fqans=(CMS, Fqan.parse("/cms/it"))))
    assert (await bench.ask()).fqans[0] == CMS


async def test_a_warning_that_comes_with_a_certificate(bench: Bench) -> None:
    encoded = base64.b64encode(made()).decode()
    wrapped = "\n".join(encoded[i : i + 64] for i in range(0, len(encoded), 64))
    bench.say(f"<?xml version='1.0'?><voms><ac>\n{wrapped}\n</ac><warning>shortened</warning></voms>", status=500)
    assert (await bench.ask()).vo == "cms"


@pytest.mark.parametrize(
    "answer, told",
    [
        (lambda: made(holder=ANOTHER), "ac_holder"),
        (lambda: made(by=STRANGER), "ac_s|signature|untrusted|ac_"),
        (lambda: made(by=OTHER_VO, fqans=(Fqan.parse("/atlas"),)), "ac_|something else"),
        (lambda: made(age=timedelta(hours=2)), "ac_expired"),
        (lambda: made(age=timedelta(hours=-1)), "ac_not_yet_valid"),
        (lambda: made(fqans=(CMS, PRODUCTION)), "something else than was asked for"),
        (lambda: made(fqans=(Fqan.parse("/cms/it"), CMS)), "something else than was asked for"),
        (lambda: made()[:-7], "nobody would take"),
        (lambda: made()[:-1] + bytes([made()[-1] ^ 1]), "nobody would take"),
        (lambda: b"", "nobody would take"),
        (lambda: b"\x30\x80" * 10_000, "nobody would take"),
        (HOLDER.to_pem, "nobody would take"),
    ],
    ids=[
        "another-holder",
        "untrusted",
        "other-vo",
        "expired",
        "early",
        "extra-role",
        "order",
        "cut",
        "tampered",
        "empty",
        "nested",
        "pem",
    ],
)
async def test_certificates_that_nobody_would_take(bench: Bench, answer: Callable[[], bytes], told: str) -> None:
    bench.give(answer())
    with pytest.raises(UpstreamUnavailableError, match=told) as raised:
        await bench.ask()
    assert "\n" not in raised.value.message


async def test_what_is_missing_is_the_vo_s_refusal(bench: Bench) -> None:
    bench.give(made(fqans=(CMS,)))
    with pytest.raises(FqanRefusedError, match="does not give the holder /cms/Role=production"):
        await bench.ask(PRODUCTION, CMS)


BOMB = (
    "<!DOCTYPE v ["
    + "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 10 if n else "ha" * 50}">' for n in range(9))
    + "]><voms><ac>&e8;</ac></voms>"
)


@pytest.mark.parametrize(
    "body, status",
    [
        ("", 200),
        ("nonsense", 200),
        ("<html><body>It works!</body></html>", 200),
        ("<html><head><title>502</title></head></html>", 502),
        ("<voms/>", 200),
        ("<voms><ac/></voms>", 200),
        ("<voms><ac>!!!</ac></voms>", 200),
        ("<voms><ac>\u00e9</ac></voms>", 200),
        ("<voms><ac>AAAA</ac>", 200),
        ("<voms>" + "<a>" * 100_000, 200),
        ("<voms>" + "<a>" * 60_000 + "</a>" * 60_000 + "</voms>", 200),
        (BOMB, 200),
        (BOMB.encode("utf-16"), 200),
        (b"<?xml version='1.0' encoding='nowhere'?><voms/>", 200),
        (b"<?xml version='1.0' encoding='utf-16'?><voms/>", 200),
        (b"\xff\xfe\xfd", 200),
        ("<voms>" + " " * 2_000_000 + "</voms>", 200),
        ("<voms><error/></voms>", 500),
        ("<voms><error><code>InternalError</code><message>java.lang</message></error></voms>", 500),
        ("<voms><error><code>Odd</code><message>x</message></error></voms>", 400),
        ("", 302),
    ],
    ids=[
        "empty",
        "text",
        "html",
        "html-502",
        "nothing",
        "no-ac",
        "not-base64",
        "not-ascii",
        "cut",
        "deep-cut",
        "deep",
        "bomb",
        "bomb-utf-16",
        "encoding",
        "wrong-encoding",
        "bytes",
        "huge",
        "no-code",
        "internal",
        "odd",
        "redirect",
    ],
)  # fmt: skip
async def test_answers_that_are_none(bench: Bench, body: str | bytes, status: int) -> None:
    bench.say(body, status)
    began = time.monotonic()
    message = await bench.refused()
    assert message.startswith("the VOMS server of 'cms'")
    assert "java" not in message
    assert time.monotonic() - began < 3


@pytest.mark.parametrize(
    "code, message, told",
    [
        ("NoSuchUser", "User unknown to this VO: /CN=AUPERT", "does not know the holder"),
        ("SuspendedUser", "User has not signed the AUP", "sign it and try again"),
        ("SuspendedUser", "on leave", "has suspended the holder"),
        ("SuspendedCertificate", "x", "suspended the holder's certificate"),
        ("NoSuchAttribute", "x", "a group or role"),
        ("Odd", "needs to sign AUP", "sign it and try again"),
    ],
)
async def test_what_the_vo_refuses(bench: Bench, code: str, message: str, told: str) -> None:
    bench.say(f"<voms><error><code>{code}</code><message>{message}</message></error></voms>", 403)
    with pytest.raises(FqanRefusedError, match=told):
        await bench.ask()
    assert bench.client.circuit.closed, "it has answered"


async def test_an_old_server_s_refusal(bench: Bench) -> None:
    item = "<item><number>1004</number><message>suspended</message></item>"
    bench.say(f"<vomsans><error>{item}</error></vomsans>")
    with pytest.raises(FqanRefusedError, match="has suspended"):
        await bench.ask()


async def test_faults_open_the_circuit(bench: Bench) -> None:
    bench.say("<html/>", 503, **{"Retry-After": "60"})
    assert "XML" in await bench.refused()
    for _ in range(3):
        assert "a moment ago" in await bench.refused()
    assert bench.server.seen["/generate-ac"] == 1


async def test_half_an_answer(bench: Bench) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": "1000"})
        await response.prepare(request)
        await response.write(b"<voms><ac>MII")
        assert request.transport is not None
        request.transport.abort()
        return response

    bench.server.answers["/generate-ac"] = answer
    assert "does not answer" in await bench.refused()


async def test_a_slow_one(bench: Bench) -> None:
    async def answer(_: web.Request) -> web.StreamResponse:
        await asyncio.Event().wait()
        raise AssertionError

    bench.server.answers["/generate-ac"] = answer
    began = time.monotonic()
    assert "no answer in time" in await bench.refused(seconds=0.3)
    assert time.monotonic() - began < 2


async def test_a_server_that_is_not_the_one(bench: Bench, tmp_path: Path) -> None:
    fetcher = Fetcher()
    client = VomsServer("cms", bench.server.url, (PrivateCa().certificate,), fetcher)
    other = replace(bench, source=RemoteAttributes(bench.source._settings, client, time.time))
    assert "certificate is not trusted" in await other.refused()
    await fetcher.close()


async def test_a_ca_file_that_is_gone_changes_nothing(bench: Bench, tmp_path: Path) -> None:
    bench.give(made())
    await bench.ask()
    (tmp_path / "anchors.pem").unlink()
    assert (await bench.ask()).vo == "cms"
