"""Chains that hold: to us and to OpenSSL, and whatever holds for us holds for OpenSSL."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from pathlib import Path as File

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy_gen.errors import IssuanceError, VerificationError
from proxy_gen.keys import KeyKind
from proxy_gen.names import DistinguishedName
from proxy_gen.proxy import ProxyKind, issue_proxy
from proxy_gen.trust import TrustedAuthority, trust_directory
from proxy_gen.verify import verify, verify_proxies
from tests.proxy_gen import libcrypto
from tests.proxy_gen.chains import (
    DAY,
    HOUR,
    JANE,
    NOW,
    TOP,
    Delegation,
    authorities,
    authority,
    path,
    pem,
    rekeyed,
    trusting,
)
from tests.proxy_gen.forge import Draft, Extension, Link, Path, load
from tests.proxy_gen.keyring import ec_key, key
from tests.tools import openssl

# RSA-4096 is for one test, keys of it take seconds
KINDS = [KeyKind.P_256, KeyKind.P_384, KeyKind.ED25519, KeyKind.RSA_2048]


@st.composite
def delegations(draw: st.DrawFn) -> list[Delegation]:
    """Up to four delegations that each other's path lengths and limits allow."""
    found: list[Delegation] = []
    room, limited = 6, False
    for _ in range(draw(st.integers(0, 4))):
        kind = ProxyKind.LIMITED if limited else draw(st.sampled_from(ProxyKind))
        path_length = draw(st.none() | st.integers(0, room - 1)) if room > 0 else None
        found.append(Delegation(kind, path_length, draw(st.sampled_from(KINDS))))
        limited = kind is ProxyKind.LIMITED
        room = room - 1 if path_length is None else path_length
        if room == 0:
            break
    return found


@st.composite
def paths(draw: st.DrawFn) -> tuple[list[Delegation], Path, int]:
    """Delegations, the path with them, and how many CAs it has."""
    wanted = draw(delegations())
    count = draw(st.integers(1, 3))
    cas = authorities(count, draw(st.sampled_from(KINDS)))
    return wanted, path(wanted, cas=cas, eec_kind=draw(st.sampled_from(KINDS))), count


def loaded(certificates: list[bytes]) -> list[x509.Certificate]:
    return [load(certificate) for certificate in certificates]


def holds_for_openssl(chain: list[bytes], anchors: list[bytes]) -> bool:
    plain = libcrypto.verify(chain, anchors, NOW)
    return bool(plain) and bool(libcrypto.verify(chain, anchors, NOW, strict=True))


@given(paths(), st.data())
@settings(max_examples=80, deadline=None)
def test_what_we_issue_holds(made: tuple[list[Delegation], Path, int], data: st.DataObject) -> None:
    wanted, links, cas = made
    certificates = links.signed()
    anchors = certificates[-cas:]
    chain = certificates[: data.draw(st.integers(len(certificates) - cas, len(certificates)))]
    found = verify(loaded(chain), trusting(*anchors), NOW)
    assert holds_for_openssl(chain, anchors)
    kinds = [delegation.kind for delegation in reversed(wanted)]
    depth = kinds.index(ProxyKind.INDEPENDENT) if ProxyKind.INDEPENDENT in kinds else len(kinds)
    assert found.identity_depth == depth
    assert found.identity == DistinguishedName(load(certificates[depth]).subject)
    assert found.end_entity == load(certificates[-cas - 1])
    assert found.anchor == load(certificates[-1])
    assert found.proxies == tuple(delegation.kind for delegation in wanted)
    assert found.limited == any(delegation.kind is ProxyKind.LIMITED for delegation in wanted)
    assert found.not_before == max(link.draft.not_before for link in links.links)
    assert found.not_after == min(link.draft.not_after for link in links.links) == NOW + (HOUR if wanted else DAY)


@pytest.mark.parametrize(
    "kinds, depth",
    [
        ([ProxyKind.INDEPENDENT], 0),
        ([ProxyKind.INDEPENDENT, ProxyKind.FULL], 1),
        ([ProxyKind.INDEPENDENT, ProxyKind.INDEPENDENT, ProxyKind.LIMITED], 1),
        ([ProxyKind.FULL, ProxyKind.INDEPENDENT], 0),
        ([ProxyKind.FULL, ProxyKind.LIMITED], 2),
    ],
    ids=["alone", "above a full one", "two above a limited one", "below a full one", "none"],
)
def test_an_independent_proxy_is_somebody_else(kinds: list[ProxyKind], depth: int) -> None:
    certificates = path([Delegation(kind) for kind in kinds]).signed()
    found = verify(loaded(certificates[:-1]), trusting(certificates[-1]), NOW)
    assert (found.identity_depth, found.end_entity) == (depth, load(certificates[-2]))
    assert found.identity.name == load(certificates[depth]).subject


PROXIES = path([Delegation(), Delegation(ProxyKind.LIMITED)]).signed()
SOMEBODY = path([Delegation(), Delegation(ProxyKind.LIMITED)], eec_kind=KeyKind.ED25519).signed()
TAMPERED = PROXIES[0][:-1] + bytes([PROXIES[0][-1] ^ 1])


def proxies_refusal(chain: list[bytes], now: datetime) -> tuple[str, int] | None:
    try:
        verify_proxies(loaded(chain), now)
    except VerificationError as error:
        return error.code, error.depth
    return None


@pytest.mark.parametrize(
    "chain, now, refusal",
    [
        (PROXIES[:3], NOW, None),
        (PROXIES[2:3], NOW, None),
        (PROXIES[:3], NOW + HOUR, ("expired", 1)),
        (PROXIES[:3], NOW + DAY, ("expired", 2)),
        (PROXIES[:3], NOW - DAY, ("not_yet_valid", 2)),
        ([*PROXIES[:2], SOMEBODY[2]], NOW, ("signature", 1)),
        ([PROXIES[0], *SOMEBODY[1:3]], NOW, ("issuer_mismatch", 0)),
        (PROXIES[:2], NOW, ("chain_incomplete", 1)),
        ([], NOW, ("chain_empty", 0)),
        ([*PROXIES[:1], *PROXIES[:3]], NOW, ("chain_duplicate", 1)),
        (PROXIES[3:], NOW, ("is_a_ca", 0)),
        ([TAMPERED, *PROXIES[1:3]], NOW, ("signature", 0)),
    ],
    ids=[
        "good", "end entity", "expired", "all expired", "early", "below another", "of another", "no end entity",
        "empty", "twice", "CA", "tampered"
    ],
)  # fmt: skip
def test_proxies_hold_without_anybodys_trust(
    chain: list[bytes], now: datetime, refusal: tuple[str, int] | None
) -> None:
    assert proxies_refusal(chain, now) == refusal


@pytest.mark.parametrize("kind", KeyKind)
def test_every_kind_of_key_holds_in_every_place(kind: KeyKind) -> None:
    certificates = path([Delegation(key_kind=kind)], cas=[authority(kind)], eec_kind=kind).signed()
    assert verify(loaded(certificates[:2]), trusting(certificates[2]), NOW).identity == JANE
    assert holds_for_openssl(certificates[:2], certificates[2:])


def test_a_key_on_p521_holds() -> None:
    links = path([Delegation()])
    leaf = Link(rekeyed(links.links[0].draft, ec_key(ec.SECP521R1).public_key()), ec_key(ec.SECP521R1))
    certificates = links.with_link(0, leaf).signed()
    assert verify(loaded(certificates[:2]), trusting(certificates[2]), NOW).identity == JANE
    assert holds_for_openssl(certificates[:2], certificates[2:])


@pytest.mark.parametrize("strict", [False, True])
def test_the_program_openssl_says_the_same(tmp_path: File, strict: bool) -> None:  # noqa: FBT001
    links = path([Delegation(), Delegation(ProxyKind.LIMITED, 3, KeyKind.RSA_2048)])
    good, bad = links.signed(), links.bent(0, replace(links.links[0].draft, not_after=NOW)).signed()
    for file, content in trust_directory([TrustedAuthority(load(good[-1]), (f"{TOP}/*",))]).items():
        (tmp_path / file).write_bytes(content)
    assert openssl.verify(pem(good[:3]), tmp_path, strict=strict, now=NOW)
    assert not openssl.verify(pem(bad[:3]), tmp_path, strict=strict, now=NOW)
    assert libcrypto.verify(good[:3], good[3:], NOW, strict=strict)
    assert not libcrypto.verify(bad[:3], bad[3:], NOW, strict=strict)


def test_surplus_of_the_path_itself_may_stand_in_any_order() -> None:
    certificates = path([Delegation()], cas=authorities(3)).signed()
    shuffled = [*certificates[:2], certificates[4], certificates[2], certificates[3]]
    assert verify(loaded(shuffled), trusting(*certificates[2:]), NOW).anchor == load(certificates[4])


def test_a_ca_renewed_with_its_key_holds_beside_its_expired_certificate() -> None:
    links = path([Delegation()])
    expired = replace(links.links[2].draft, not_after=NOW, serial=7).sign(links.links[2].key)
    certificates = links.signed()
    for anchors in ([expired, certificates[2]], [certificates[2], expired]):
        assert verify(loaded(certificates[:2]), trusting(*anchors), NOW).anchor == load(certificates[2])
        assert holds_for_openssl(certificates[:2], anchors)


def test_of_two_cas_of_one_name_the_one_that_signed_is_found() -> None:
    certificates = path([Delegation()]).signed()
    namesake = authority(KeyKind.ED25519)
    assert namesake.subject == authority().subject
    other = Draft.of(namesake.certificate).sign(namesake.key)
    assert verify(loaded(certificates[:2]), trusting(other, certificates[2]), NOW).anchor == load(certificates[2])


def test_an_end_entity_certificate_alone_holds() -> None:
    certificates = path().signed()
    found = verify(loaded(certificates[:1]), trusting(certificates[1]), NOW)
    assert found.proxies == ()
    assert not found.limited


def test_the_first_second_counts_and_the_last_does_not() -> None:
    links = path([Delegation()])
    leaf = links.links[0].draft
    certificates = links.signed()

    def holds(moment: object) -> bool:
        try:
            verify(loaded(certificates[:2]), trusting(certificates[2]), moment)  # type: ignore[arg-type]
        except VerificationError:
            return False
        return True

    second = HOUR / 3600
    for moment, expected in (
        (leaf.not_before - second, False),
        (leaf.not_before, True),
        (leaf.not_after - second, True),
        (leaf.not_after, False),
    ):
        assert holds(moment) is expected
        assert bool(libcrypto.verify(certificates[:2], certificates[2:], moment)) is expected


@given(paths(), st.sampled_from(ProxyKind), st.none() | st.integers(-1, 8))
@settings(max_examples=80, deadline=None)
def test_a_proxy_below_a_chain_that_holds_is_refused_or_holds(
    made: tuple[list[Delegation], Path, int], kind: ProxyKind, path_length: int | None
) -> None:
    _, links, cas = made
    certificates = links.signed()
    try:
        leaf = issue_proxy(
            load(certificates[0]),
            links.links[0].key,
            key(KeyKind.P_256, 99).public_key(),
            now=NOW,
            lifetime=HOUR,
            kind=kind,
            path_length=path_length,
        )
    except IssuanceError as error:
        assert error.code in {"path_length", "limited"}  # noqa: PT017 - the other outcome is the longer one
        return
    verify([leaf, *loaded(certificates[:-cas])], trusting(*certificates[-cas:]), NOW)


def _aki_of(issuer: Draft, name: str, serial: int) -> Extension:
    known = Draft.find(issuer, x509.SubjectKeyIdentifier.oid).value
    digest = x509.SubjectKeyIdentifier(known[2:]).digest
    named = [x509.DirectoryName(DistinguishedName.parse(name).name)]
    return Extension.of(x509.AuthorityKeyIdentifier(digest, named, serial))


def test_an_authority_key_identifier_may_name_the_issuers_issuer() -> None:
    links = path([Delegation()])
    ca = links.links[2].draft
    certificates = links.bent(1, links.links[1].draft.having(_aki_of(ca, f"{TOP}/CN=CA", ca.serial))).signed()
    assert verify(loaded(certificates[:2]), trusting(certificates[2]), NOW).identity == JANE
    assert holds_for_openssl(certificates[:2], certificates[2:])
