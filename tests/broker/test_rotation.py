"""Rotation of the local CA: who signs when, what is published meanwhile, and what consumers make of it."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from proxy_gen.ca import CertificateAuthority
from proxy_gen.keys import KeyKind
from proxy_gen.names import DistinguishedName
from tests.broker.consumer import Consumer
from tests.broker.world import DAY, HOUR, START, TOP, Setup, World, csr, profile
from ttscache.config.settings import LocalVoms
from ttscache.errors import CsrInvalidError
from ttscache.model import Credential

# an end-entity certificate lives for twice the longest proxy
LONGEST = 24 * HOUR
WITH_VOMS = Setup(
    profiles=(profile(voms=("cms",)), *Setup().profiles[1:]),
    voms={"cms": LocalVoms("cms", "voms.example", 15000, DAY, None)},
)


def successor(number: int, begins: float, kind: KeyKind = KeyKind.P_256) -> CertificateAuthority:
    name = DistinguishedName.parse(f"{TOP}/CN=CA G{number}")
    return CertificateAuthority.create(
        name, kind, now=datetime.fromtimestamp(begins, UTC), lifetime=timedelta(days=900)
    )


def subjects(pem: bytes) -> list[str]:
    return [str(DistinguishedName(each.subject)) for each in x509.load_pem_x509_certificates(pem)]


async def test_from_one_ca_to_the_next(world: World, tmp_path: Path) -> None:
    old = await world.replica(WITH_VOMS).issue(csr=csr())
    world.successors.append(successor(2, START + HOUR, KeyKind.RSA_2048))
    rotated = world.replica(WITH_VOMS)
    early = Consumer.fetching(tmp_path / "early", await rotated.published())
    assert subjects(early.published.certificates_pem) == [f"{TOP}/CN=CA", f"{TOP}/CN=CA G2"]
    assert (await rotated.issue(csr=csr())).eec_serial == old.eec_serial

    world.clock.time = START + HOUR - 1
    assert (await rotated.issue(csr=csr())).issuer == f"{TOP}/CN=CA"
    world.clock.time = START + HOUR
    new = await rotated.issue(csr=csr())
    assert new.issuer == rotated.broker.authority == f"{TOP}/CN=CA G2"
    late = Consumer.fetching(tmp_path / "late", await rotated.published())
    assert subjects(late.published.certificates_pem) == [f"{TOP}/CN=CA G2", f"{TOP}/CN=CA"]
    for consumer in (early, late):
        for credential in (old, new):
            assert consumer.takes(credential.pem, world.clock.time)
            assert consumer.attributes(credential.pem, world.clock.time) == {"cms": ["/cms"]}

    world.clock.time = START + HOUR + LONGEST - 1
    assert len(subjects((await rotated.published()).certificates_pem)) == 2
    world.clock.time += 1
    alone = await rotated.published()
    assert subjects(alone.certificates_pem) == [f"{TOP}/CN=CA G2"]
    assert alone.voms_files == {
        "cms/voms.example.lsc": f"{TOP}/CN=voms.example\n{TOP}/CN=CA G2\n".encode(),
    }


async def test_each_ca_has_a_crl_of_its_own(world: World) -> None:
    world.successors.append(successor(2, START + HOUR))
    published = await world.replica().published()
    lists = [x509.load_pem_x509_crl(content) for name, content in published.files.items() if name.endswith(".r0")]
    for authority in world.generations.all:
        own = next(each for each in lists if each.issuer == authority.certificate.subject)
        assert own.is_signature_valid(authority.public_key)
        assert (published.crl_der == own.public_bytes(Encoding.DER)) is (authority is world.authority)


async def test_a_cached_credential_is_not_kept_under_the_old_ca(world: World) -> None:
    world.successors.append(successor(2, START + HOUR))
    replica = world.replica()
    first = await replica.issue()
    world.clock.time += HOUR
    second = await replica.issue()
    assert (first.issuer, second.issuer) == (f"{TOP}/CN=CA", f"{TOP}/CN=CA G2")


async def test_a_second_rotation_while_the_first_is_not_over(world: World, tmp_path: Path) -> None:
    made: list[Credential] = [await world.replica().issue(csr=csr())]
    for number, begins in ((2, START + HOUR), (3, START + 2 * HOUR)):
        world.successors.append(successor(number, begins))
    replica = world.replica()
    for moment in (HOUR, 2 * HOUR):
        world.clock.time = START + moment
        made.append(await replica.issue(csr=csr()))
    assert [each.issuer for each in made] == [f"{TOP}/CN=CA", f"{TOP}/CN=CA G2", f"{TOP}/CN=CA G3"]
    published = await replica.published()
    assert subjects(published.certificates_pem) == [f"{TOP}/CN={name}" for name in ("CA G3", "CA G2", "CA")]
    consumer = Consumer.fetching(tmp_path, published)
    assert all(consumer.takes(each.pem, world.clock.time) for each in made)
    world.clock.time = START + HOUR + LONGEST
    assert subjects((await replica.published()).certificates_pem) == [f"{TOP}/CN=CA G3", f"{TOP}/CN=CA G2"]


async def test_the_key_of_a_ca_to_come_is_nobody_s(world: World) -> None:
    world.successors.append(successor(2, START + HOUR))
    with pytest.raises(CsrInvalidError, match="CA's own"):
        await world.replica().issue(csr=csr(key=world.successors[0].key))
