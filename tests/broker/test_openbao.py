"""What an engine signs: a real one's names, chains and limits, and one that lies."""

import time
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime

import pytest
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID

from proxy_gen.keys import KeyKind, PublicKey, generate_key, require_strong
from proxy_gen.names import DistinguishedName
from proxy_gen.pci import ProxyKind
from proxy_gen.proxy import issue_proxy
from tests.broker.ordering import JANE, ordered
from tests.broker.world import TOP, profile
from tests.net.loopback import Loopback, loopback
from tests.tools import openssl
from tests.tools.minting import DAY, HOUR, authority, resigned
from tests.tools.openbao import ROOT_TOKEN, OpenBao, openbao
from ttscache.broker.anchors import EngineAnchors
from ttscache.broker.openbao_signer import OpenBaoSigner
from ttscache.broker.orders import MintingOrder, Parent
from ttscache.broker.parents import KeptParents
from ttscache.broker.publishing import Publisher
from ttscache.errors import SignerUnavailableError
from ttscache.net.deadline import Deadline
from ttscache.net.fetch import Fetcher
from ttscache.store.memory import MemoryStore
from ttscache.upstream.openbao import PkiEngine

Engine = Callable[..., PkiEngine]


@pytest.fixture(scope="module")
def bao(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenBao]:
    with openbao(tmp_path_factory.mktemp("openbao")) as running:
        yield running


@pytest.fixture
async def engine(bao: OpenBao) -> AsyncIterator[Engine]:
    """Speak to the real engine, or to one at another address."""
    fetcher = Fetcher()
    yield lambda mount="pki", role="grid", url=bao.url: PkiEngine(url, mount, role, lambda: ROOT_TOKEN, fetcher)
    await fetcher.close()


class CountingSigner(OpenBaoSigner):
    """Counts what it signs."""

    signed = 0

    async def sign(self, order: MintingOrder, until: float, deadline: Deadline) -> Parent:
        self.signed += 1
        return await super().sign(order, until, deadline)


async def signed(by: PkiEngine, dn: str = JANE) -> Parent:
    return await OpenBaoSigner(by, time.time).sign(ordered(dn), time.time() + 3600, Deadline.after(10))


@pytest.mark.parametrize(
    "dn",
    [
        "/DC=ch/DC=cern/OU=Organic Units/OU=Users/CN=jane/CN=Jane Doe",
        "/C=IT/ST=Bologna/L=Bologna/O=INFN/CN=jane",
        "/O=grid/OU=b/OU=a/DC=org/CN=jane/UID=u1",
        "/DC=ch/CN=jane/emailAddress=jane@example.org",
        "/CN=Jane Doe (CMS), the second/CN=jane",
        "/DC=ch/CN=jane/serialNumber=12",
    ],
    ids=["two-cn", "places", "other-order", "email", "comma", "serial-number"],
)
async def test_names_come_out_as_they_were_asked_for(engine: Engine, dn: str) -> None:
    parent = await signed(engine(), dn)
    assert parent.identity == dn
    assert openssl.subject(parent.certificate.public_bytes(Encoding.PEM)) == dn


async def test_a_ca_below_another_is_published_with_it(engine: Engine, bao: OpenBao) -> None:
    bao.call("POST", "sys/mounts/below", type="pki")
    request = bao.call("POST", "below/intermediate/generate/internal", common_name="CA below", key_type="ec")["csr"]
    made = bao.call("POST", "pki/root/sign-intermediate", csr=request, common_name="CA below", ttl="100h")
    bao.call("POST", "below/intermediate/set-signed", certificate="\n".join([made["certificate"], *made["ca_chain"]]))
    bao.role(mount="below")
    parent = await signed(engine("below"))
    assert parent.issuer == "/CN=CA below"
    source = EngineAnchors(engine("below"), (f"{TOP}/*",), 3600.0, MemoryStore(time.time), time.time)
    assert await published_names(source) == ["CN=CA below", "CN=bao CA,O=ttscache"]


async def published_names(source: EngineAnchors) -> list[str]:
    published = await Publisher(source, lambda _: {}, time.time).published(Deadline.after(10))
    return [c.subject.rfc4514_string() for c in x509.load_pem_x509_certificates(published.certificates_pem)]


async def test_the_ca_of_before_stays_published_until_what_it_signed_has_ended(engine: Engine, bao: OpenBao) -> None:
    bao.call("POST", "sys/mounts/turning", type="pki")
    bao.call("POST", "turning/root/generate/internal", common_name="first", key_type="ec", ttl="100h")
    bao.role(mount="turning")
    clock = [time.time()]
    source = EngineAnchors(engine("turning"), (f"{TOP}/*",), 3600.0, MemoryStore(lambda: clock[0]), lambda: clock[0])
    assert await published_names(source) == ["CN=first"]
    turned = bao.call("POST", "turning/root/rotate/internal", common_name="second", key_type="ec", ttl="100h")
    bao.call("POST", "turning/root/replace", default=turned["issuer_id"])
    assert await published_names(source) == ["CN=second", "CN=first"]
    clock[0] += 3600.0
    assert await published_names(source) == ["CN=second"]


async def test_what_a_role_cuts_short_is_not_signed_again_and_again(engine: Engine, bao: OpenBao) -> None:
    clock = [time.time()]
    bao.role("blink", max_ttl="30m")
    signer = CountingSigner(engine(role="blink"), lambda: clock[0])
    parents = KeptParents(signer, MemoryStore(lambda: clock[0]), lambda: clock[0], lambda _: False)

    async def one(seconds: int, minimum: int) -> Parent:
        wanted = profile(min_lifetime=minimum)
        return await parents.parent(ordered(wanted=wanted, lifetime=seconds), Deadline.after(10))

    first = await one(43200, 600)
    assert {await one(seconds, minimum) for seconds in (900, 3600, 43200) for minimum in (600, 7200)} == {first}
    assert signer.signed == 1
    clock[0] += 700
    assert await one(43200, 600) == first
    # a new one reaches the minimum that the first has no longer
    assert await one(43200, 1200) != first
    assert signer.signed == 2


class Liar:
    """An engine that signs with a CA of its own, whatever it is told to."""

    def __init__(self, server: Loopback) -> None:
        self.ca = authority(f"{TOP}/CN=Liar CA")
        self.server = server
        self.sign: Callable[[DistinguishedName, PublicKey], x509.Certificate] = self.honest
        server.say("/v1/pki/ca_chain", self.ca.certificate_pem().decode())
        server.answers["/v1/pki/crl"] = self._crl
        server.answers["/v1/pki/sign-verbatim/grid"] = self._signed

    def honest(self, name: DistinguishedName, key: PublicKey) -> x509.Certificate:
        return self.ca.issue_eec(name, key, now=datetime.now(UTC), lifetime=HOUR)

    async def _crl(self, _: web.Request) -> web.Response:
        crl = self.ca.crl([], number=1, now=datetime.now(UTC), lifetime=DAY)
        return web.Response(body=crl.public_bytes(Encoding.DER))

    async def _signed(self, request: web.Request) -> web.Response:
        csr = x509.load_pem_x509_csr((await request.json())["csr"].encode())
        certificate = self.sign(DistinguishedName(csr.subject), require_strong(csr.public_key()))
        return web.json_response({"data": {"certificate": certificate.public_bytes(Encoding.PEM).decode()}})


@pytest.fixture
async def liar() -> AsyncIterator[Liar]:
    async with loopback() as server:
        yield Liar(server)


async def test_an_honest_one_is_believed(engine: Engine, liar: Liar) -> None:
    assert (await signed(engine(url=liar.server.url))).identity == JANE


def another_name(liar: Liar, _: DistinguishedName, key: PublicKey) -> x509.Certificate:
    return liar.honest(DistinguishedName.parse(f"{TOP}/OU=People/CN=joe"), key)


def another_key(liar: Liar, name: DistinguishedName, _: PublicKey) -> x509.Certificate:
    return liar.honest(name, generate_key(KeyKind.P_256).public_key())


def another_ca(_: Liar, name: DistinguishedName, key: PublicKey) -> x509.Certificate:
    return authority(f"{TOP}/CN=Liar CA").issue_eec(name, key, now=datetime.now(UTC), lifetime=HOUR)


def expired(liar: Liar, name: DistinguishedName, key: PublicKey) -> x509.Certificate:
    return liar.ca.issue_eec(name, key, now=datetime.now(UTC) - DAY, lifetime=HOUR)


def a_ca(liar: Liar, name: DistinguishedName, key: PublicKey) -> x509.Certificate:
    return resigned(liar.honest(name, key), liar.ca.key, x509.BasicConstraints(ca=True, path_length=None))


def for_servers(liar: Liar, name: DistinguishedName, key: PublicKey) -> x509.Certificate:
    only = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])
    return resigned(liar.honest(name, key), liar.ca.key, only, critical=False)


def its_own(liar: Liar, _: DistinguishedName, __: PublicKey) -> x509.Certificate:
    return liar.ca.certificate


def a_proxy(liar: Liar, name: DistinguishedName, key: PublicKey) -> x509.Certificate:
    own = generate_key(KeyKind.P_256)
    eec = liar.honest(name, own.public_key())
    return issue_proxy(eec, own, key, now=datetime.now(UTC), lifetime=HOUR, kind=ProxyKind.FULL)


@pytest.mark.parametrize(
    "lie, told",
    [
        (another_name, "another name"),
        (another_key, "another name or key"),
        (another_ca, r"no consumer would take \(signature"),
        (expired, r"no consumer would take \(expired"),
        (a_ca, "no consumer would take"),
        (for_servers, "no consumer would take"),
        (its_own, "no consumer would take|another name"),
        (a_proxy, "no consumer would take"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
async def test_what_it_signed_is_looked_at(
    engine: Engine, liar: Liar, lie: Callable[..., x509.Certificate], told: str
) -> None:
    liar.sign = lambda name, key: lie(liar, name, key)
    with pytest.raises(SignerUnavailableError, match=told) as raised:
        await signed(engine(url=liar.server.url))
    assert raised.value.retry_after >= 5


@pytest.mark.parametrize(
    "path, body",
    [
        ("sign-verbatim/grid", "nonsense"),
        ("sign-verbatim/grid", ""),
        ("sign-verbatim/grid", []),
        ("sign-verbatim/grid", {"data": None}),
        ("sign-verbatim/grid", {"data": {"certificate": 5}}),
        (
            "sign-verbatim/grid",
            {"data": {"certificate": "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----"}},
        ),
        ("sign-verbatim/grid", "[" * 100_000),
        ("sign-verbatim/grid", "x" * 2_000_000),
        ("ca_chain", ""),
        ("ca_chain", "nonsense"),
        ("crl", ""),
        ("crl", "nonsense"),
    ],
    ids=[
        "text",
        "nothing",
        "list",
        "null",
        "number",
        "no-certificate",
        "deep",
        "endless",
        "no-ca",
        "odd-ca",
        "no-crl",
        "odd-crl",
    ],
)
async def test_answers_that_are_none(engine: Engine, liar: Liar, path: str, body: object) -> None:
    liar.server.say(f"/v1/pki/{path}", body)
    with pytest.raises(SignerUnavailableError):
        await signed(engine(url=liar.server.url))


async def test_a_fault_of_its_own_opens_the_circuit(engine: Engine, liar: Liar) -> None:
    liar.server.say("/v1/pki/sign-verbatim/grid", {"errors": ["it broke"]}, status=500, headers={"Retry-After": "77"})
    speaking = engine(url=liar.server.url)
    for told in ("sealed, or has a fault", "a moment ago"):
        with pytest.raises(SignerUnavailableError, match=told):
            await signed(speaking)
    assert liar.server.seen["/v1/pki/sign-verbatim/grid"] == 1
