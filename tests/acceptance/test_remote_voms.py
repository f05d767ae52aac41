"""A VO's attributes from its own server, a real one: what members get, and what others are told."""

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from proxy_gen.credential import Credential
from proxy_gen.proxy import issue_proxy
from proxy_gen.voms.certificate import AttributeCertificate
from proxy_gen.voms.fqan import Fqan
from tests.acceptance.library import Library
from tests.acceptance.site import JANE, JOE, STRANGER, TOP, Site
from tests.acceptance.voms_server import VomsServer, voms_server
from tests.tools.hostcert import issue_host
from tests.tools.minting import delegate, end_entity, key_of
from ttscache.broker.orders import Parent
from ttscache.broker.remote_attributes import RemoteAttributes
from ttscache.config.settings import RemoteVoms
from ttscache.errors import FqanRefusedError
from ttscache.net.deadline import Deadline
from ttscache.net.fetch import Fetcher
from ttscache.upstream.voms_server import VomsServer as Client

pytestmark = pytest.mark.acceptance

SUSPENDED, UNSIGNED = f"{TOP}/OU=People/CN=suspended", f"{TOP}/OU=People/CN=unsigned"
ALL = ("/cms", "/cms/it", "/cms/Role=production")
Ask = Callable[..., Awaitable[AttributeCertificate]]


@pytest.fixture(scope="module")
def server(site: Site) -> Iterator[VomsServer]:
    # under a host certificate of an elliptic CA it would sign with SHA-1
    with voms_server(site.trust_dir, issue_host(site.rsa_ca.certificate, site.rsa_ca.key)) as running:
        running.register(JANE, site.ca.subject.slash, *ALL)
        running.register(JOE, site.ca.subject.slash, "/cms")
        for dn, reason in ((SUSPENDED, "stole a bicycle"), (UNSIGNED, "User has not signed the AUP")):
            running.register(dn, site.ca.subject.slash, "/cms")
            running.suspend(dn, reason)
        yield running


@pytest.fixture
async def ask(server: VomsServer, site: Site, tmp_path: Path) -> AsyncIterator[Ask]:
    """Ask as the daemon does, in somebody's name."""
    anchors = tmp_path / "anchors.pem"
    anchors.write_bytes(site.ca.certificate_pem() + site.rsa_ca.certificate_pem())
    fetcher = Fetcher(anchors)

    async def asking(who: str, *fqans: str, lifetime: int = 3600, parent: Parent | None = None) -> AttributeCertificate:
        trusted = (site.ca.certificate, site.rsa_ca.certificate)
        settings = RemoteVoms("cms", server.url, "localhost", lifetime, server.lsc, anchors, trusted)
        source = RemoteAttributes(settings, Client("cms", server.url, trusted, fetcher), time.time)
        wanted = tuple(Fqan.parse(fqan) for fqan in fqans)
        return await source.issue(parent or parent_of(end_entity(site.ca, who)), wanted, Deadline.after(20))

    yield asking
    await fetcher.close()


def parent_of(credential: Credential) -> Parent:
    return Parent(credential.chain, key_of(credential))


@pytest.mark.parametrize(
    "asked",
    [
        ("/cms",),
        ("/cms/Role=production",),
        ("/cms/it", "/cms"),
        ("/cms/Role=production", "/cms"),
        ("/cms", "/cms/Role=production"),
    ],
    ids=" ".join,
)
async def test_a_member_gets_what_is_asked_for_first(ask: Ask, asked: tuple[str, ...]) -> None:
    given = [fqan.short for fqan in (await ask(JANE, *asked)).fqans]
    assert given[: len(asked)] == [*asked]
    assert not any("Role" in fqan for fqan in given[len(asked) :])


async def test_whoever_is_asked_for_below_a_proxy(ask: Ask, site: Site, server: VomsServer, tmp_path: Path) -> None:
    parent = parent_of(delegate(end_entity(site.ca, JANE)))
    made = await ask(JANE, "/cms/it", parent=parent)
    proxy = delegated(parent, made)
    file = tmp_path / "vomsdir" / "cms" / "localhost.lsc"
    file.parent.mkdir(parents=True)
    file.write_bytes(server.lsc)
    assert Library(site.trust_dir, tmp_path / "vomsdir").finds("/cms/it", proxy.to_pem())


def delegated(parent: Parent, made: AttributeCertificate) -> Credential:
    key = parent.key
    proxy = issue_proxy(
        parent.certificate,
        parent.key,
        delegate(Credential(parent.chain, key)).leaf.public_key(),  # type: ignore[arg-type]
        now=datetime.now(UTC),
        lifetime=timedelta(minutes=10),
        attribute_certificates=[made],
    )
    return Credential((proxy, *parent.chain))


async def test_the_server_shortens(ask: Ask) -> None:
    made = await ask(JANE, "/cms", lifetime=1_000_000)
    assert made.not_after - made.not_before <= timedelta(days=1, minutes=10)


@pytest.mark.parametrize(
    "who, asked, told",
    [
        (STRANGER, "/cms", "does not know the holder's DN"),
        (SUSPENDED, "/cms", "has suspended the holder"),
        (UNSIGNED, "/cms", "Acceptable Usage Policy; sign it and try again"),
        (JOE, "/cms/Role=production", "does not give the holder a group or role"),
        (JOE, "/cms/it", "does not give the holder a group or role"),
        (JANE, "/cms/nowhere", "does not give the holder a group or role"),
    ],
    ids=["stranger", "suspended", "aup", "role", "group", "no-group"],
)
async def test_what_the_vo_refuses(ask: Ask, who: str, asked: str, told: str) -> None:
    with pytest.raises(FqanRefusedError, match=told) as raised:
        await ask(who, asked)
    assert who not in raised.value.message
    assert "bicycle" not in raised.value.message
