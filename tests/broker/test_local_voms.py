"""Attributes from authorities of our own: which, in which order, for how long, and that consumers take them."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from proxy_gen.credential import Credential as CredentialFile
from proxy_gen.keys import KeyKind, generate_key
from proxy_gen.names import DistinguishedName
from proxy_gen.voms.certificate import AttributeCertificate, attribute_certificates
from tests.broker.consumer import Consumer
from tests.broker.world import DAY, HOUR, START, TOP, Setup, World, csr, profile, rule, together
from ttscache.broker.local_attributes import LocalAttributes
from ttscache.config.settings import LocalVoms
from ttscache.errors import (
    DnRefusedError,
    FqanRefusedError,
    LifetimeRefusedError,
    RequestInvalidError,
    SignerUnavailableError,
)
from ttscache.model import Credential

FQANS = ("/cms/Role=production", "/cms", "/atlas", "/cms/it", "/atlas/Role=pilot")
CMS = LocalVoms("cms", "voms.cms.example", 15000, DAY, None)
ATLAS = LocalVoms("atlas", "voms.atlas.example", 15001, DAY, None)


def setup(cms: LocalVoms = CMS, atlas: LocalVoms = ATLAS, fqans: tuple[str, ...] = FQANS, **changes: object) -> Setup:
    wanted = {"pilot": ("c", "a"), "cms": ("c",), "plain": (), "short": ("c",)}
    profiles = tuple(profile(name, voms=vos, **changes) for name, vos in wanted.items())
    return Setup(rules=(rule(fqans=fqans, profiles=tuple(wanted)),), profiles=profiles, voms={"c": cms, "a": atlas})


def carried(credential: Credential) -> tuple[AttributeCertificate, ...]:
    return attribute_certificates(CredentialFile.parse(credential.pem).leaf)


def host_certificate(world: World, lifetime: timedelta, kind: KeyKind = KeyKind.RSA_2048) -> CredentialFile:
    key, name = generate_key(kind), DistinguishedName.parse(f"{TOP}/CN=voms.cms.example")
    now = datetime.fromtimestamp(START, UTC)
    return CredentialFile((world.authority.issue_eec(name, key.public_key(), now=now, lifetime=lifetime),), key)


async def test_two_vos_in_one_proxy(world: World, tmp_path: Path) -> None:
    replica = world.replica(setup())
    issued = await replica.issue()
    consumer = Consumer.fetching(tmp_path, await replica.published())
    assert consumer.takes(issued.pem, world.clock.time)
    told = {"cms": ["/cms/Role=production", "/cms", "/cms/it"], "atlas": ["/atlas", "/atlas/Role=pilot"]}
    assert consumer.attributes(issued.pem, world.clock.time) == told
    assert issued.fqans == (*told["cms"], *told["atlas"])
    assert issued.shortened_by == ()
    assert sorted(consumer.published.voms_files) == ["atlas/voms.atlas.example.lsc", "cms/voms.cms.example.lsc"]


@pytest.mark.parametrize(
    "asked, profile_name, told",
    [
        ((), "plain", ()),
        ((), "cms", ("/cms/Role=production", "/cms", "/cms/it")),
        (("/cms",), "pilot", ("/cms",)),
        (("/cms/it", "/cms/Role=production"), "cms", ("/cms/it", "/cms/Role=production")),
        (("/atlas/Role=pilot", "/cms"), "pilot", ("/cms", "/atlas/Role=pilot")),
        (
            ("/cms/Role=NULL/Capability=NULL", "/cms/Role=production/Capability=NULL"),
            "cms",
            ("/cms", "/cms/Role=production"),
        ),
    ],
    ids=["none", "default", "one", "order", "two-vos", "long"],
)
async def test_what_is_asked_for_comes_first_and_alone(
    world: World, asked: tuple[str, ...], profile_name: str, told: tuple[str, ...], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    issued = await world.replica(setup()).issue(profile=profile_name, fqans=asked)
    assert issued.fqans == told == tuple(fqan.short for ac in carried(issued) for fqan in ac.fqans)
    (logged,) = [record for record in caplog.records if record.message == "credential_issued"]
    assert logged.__dict__["fqans"] == told


@pytest.mark.parametrize(
    "asked, profile_name, error, told",
    [
        (("/cms/Role=admin",), "cms", FqanRefusedError, "does not grant"),
        (("/cms", "/lhcb"), "pilot", FqanRefusedError, "does not grant"),
        (("/cms/it/more",), "cms", FqanRefusedError, "does not grant"),
        (("/atlas",), "cms", FqanRefusedError, "attributes of cms only"),
        (("/cms",), "plain", FqanRefusedError, "no VOMS attributes"),
        (("cms",), "cms", RequestInvalidError, "not of the form"),
        (("/cms/Role=production/Capability=x",), "cms", RequestInvalidError, "not of the form"),
        (("/cms\n/x",), "cms", RequestInvalidError, "not of the form"),
    ],
    ids=["role", "vo", "group", "other-profile", "plain", "no-slash", "capability", "line"],
)
async def test_what_may_not_be_had(
    world: World, asked: tuple[str, ...], profile_name: str, error: type[Exception], told: str
) -> None:
    with pytest.raises(error, match=told):
        await world.replica(setup()).issue(profile=profile_name, fqans=asked)
    assert world.asked == {}


async def test_a_life_that_the_attributes_bound(world: World, tmp_path: Path) -> None:
    brief = setup(replace(CMS, lifetime=2 * HOUR))
    replica = world.replica(brief)
    issued = await replica.issue()
    assert (issued.not_after, issued.shortened_by) == (START + 2 * HOUR, ("voms:cms",))
    assert (await replica.issue(lifetime=3600)).shortened_by == ()
    assert (await replica.issue(profile="plain")).shortened_by == ()
    # past half of its life another is made
    world.clock.time += HOUR + 1
    assert (await replica.issue(csr=csr())).not_after == world.clock.time + 2 * HOUR


async def test_attributes_never_outlive_their_authority(world: World, tmp_path: Path) -> None:
    credential = host_certificate(world, timedelta(hours=5))
    replica = world.replica(setup(replace(CMS, credential=credential)))
    issued = await replica.issue()
    assert (issued.not_after, issued.shortened_by) == (START + 5 * HOUR, ("voms:cms",))
    assert carried(issued)[0].not_after == credential.leaf.not_valid_after_utc
    consumer = Consumer.fetching(tmp_path, await replica.published())
    assert consumer.attributes(issued.pem, world.clock.time).keys() == {"cms", "atlas"}
    world.clock.time = START + 5 * HOUR
    with pytest.raises(SignerUnavailableError, match="VO 'cms'"):
        await replica.issue(csr=csr())


async def test_below_the_minimum_it_is_refused_without_a_loop(world: World, signings: list[str]) -> None:
    replica = world.replica(setup(replace(CMS, lifetime=300)))
    for _ in range(3):
        with pytest.raises(LifetimeRefusedError, match="voms:cms"):
            await replica.issue(csr=csr())
    assert signings == ["cms", "atlas"]


@pytest.fixture
def signings(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The VOs whose authority has signed, one for each certificate."""
    seen: list[str] = []
    sign = LocalAttributes.issue

    async def counting(self: LocalAttributes, *arguments: object) -> AttributeCertificate:
        seen.append(self.vo)
        return await sign(self, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(LocalAttributes, "issue", counting)
    return seen


async def test_one_certificate_for_two_hundred_callers(world: World, signings: list[str]) -> None:
    replica = world.replica(setup())
    request = csr()
    issued = await together(lambda: replica.issue(profile="cms", csr=request, seconds=20), 200)
    assert {type(each) for each in issued} == {Credential}
    assert len({carried(each)[0].der for each in issued}) == 1
    assert signings == ["cms"]


async def test_a_certificate_is_used_again_below_the_same_parent(world: World, signings: list[str]) -> None:
    replica = world.replica(setup())
    made = [await replica.issue(**ask) for ask in ({}, {"profile": "cms"}, {"limited": True}, {"csr": csr()})]
    assert len({each.eec_serial for each in made}) == 1
    assert signings == ["cms", "atlas"]
    await replica.issue(fqans=("/cms",))
    await replica.issue(world.token("joe"))
    assert signings == ["cms", "atlas", "cms", "cms", "atlas"]


async def test_fewer_fqans_never_get_what_more_were_given(world: World) -> None:
    many, few = world.replica(setup()), world.replica(setup(fqans=("/cms",)), world.store())
    first = await many.issue(profile="cms")
    assert (await few.issue(profile="cms")).fqans == ("/cms",)
    assert await many.issue(profile="cms") == first


async def test_the_authority_s_name_is_nobody_else_s(world: World) -> None:
    """Whoever had its name and a certificate of the same CA could speak for the VO."""
    for shared in (False, True):
        refusing = replace(rule(dn=f"{TOP}/CN=VOMS.cms.example"), shared=shared)
        with pytest.raises(DnRefusedError, match="authority of this site"):
            await world.replica(replace(setup(), rules=(refusing,))).issue(profile="short")
