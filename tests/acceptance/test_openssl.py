"""OpenSSL, plain and strict, over what we mint."""

from datetime import UTC, datetime, timedelta

import pytest

from proxy_gen.keys import KeyKind
from proxy_gen.names import DistinguishedName
from tests.acceptance.answers import Answer, answer
from tests.acceptance.cases import OPENSSL, STRICT, STRICT_CRL, Case, cases
from tests.acceptance.site import JANE, TOP, Site
from tests.tools import openssl
from tests.tools.minting import HOUR, delegate, end_entity

pytestmark = pytest.mark.acceptance

# RSA keys of every length are among the cases
_KINDS = (KeyKind.P_256, KeyKind.P_384, KeyKind.ED25519)
_KEYS = [*((kind, KeyKind.P_256) for kind in _KINDS), *((KeyKind.RSA_2048, kind) for kind in _KINDS)]
_SECOND = timedelta(seconds=1)


@pytest.mark.parametrize("case,expected", cases(OPENSSL))
def test_takes_the_good_and_refuses_the_bad(site: Site, case: Case, expected: Answer) -> None:
    verdict = openssl.verify(case.pem(site), site.trust_dir)
    assert answer(verdict, openssl.REFUSAL) is expected, verdict


@pytest.mark.parametrize("case,expected", cases(STRICT))
def test_takes_the_good_and_refuses_the_bad_when_strict(site: Site, case: Case, expected: Answer) -> None:
    verdict = openssl.verify(case.pem(site), site.trust_dir, strict=True)
    assert answer(verdict, openssl.REFUSAL) is expected, verdict


@pytest.mark.parametrize("case,expected", cases(STRICT_CRL))
def test_takes_the_good_and_refuses_the_bad_when_strict_and_looking_at_crls(
    site: Site, case: Case, expected: Answer
) -> None:
    verdict = openssl.verify(case.pem(site), site.trust_dir, strict=True, crl_check=True)
    assert answer(verdict, openssl.REFUSAL) is expected, verdict


@pytest.mark.parametrize("eec,leaf", _KEYS)
def test_takes_every_kind_of_key(site: Site, eec: KeyKind, leaf: KeyKind) -> None:
    proxy = delegate(end_entity(site.ca, JANE, eec), key=leaf)
    assert openssl.verify(proxy.to_pem(), site.trust_dir, strict=True)


def test_refuses_before_and_after_the_lifetime(site: Site) -> None:
    now = datetime.now(UTC)
    proxy = delegate(end_entity(site.ca, JANE), now=now, lifetime=HOUR).to_pem()
    assert openssl.verify(proxy, site.trust_dir, now=now + HOUR - 2 * _SECOND)
    late = openssl.verify(proxy, site.trust_dir, now=now + HOUR + 2 * _SECOND)
    assert not late
    assert "certificate has expired" in late.text
    early = openssl.verify(proxy, site.trust_dir, now=now - HOUR)
    assert not early
    assert "certificate is not yet valid" in early.text


def test_refuses_a_revoked_certificate_when_it_looks_at_crls(site: Site) -> None:
    good, bad = end_entity(site.ca, JANE).to_pem(), site.revoked.to_pem()
    assert openssl.verify(good, site.trust_dir, crl_check=True)
    verdict = openssl.verify(bad, site.trust_dir, crl_check=True)
    assert not verdict
    assert "certificate revoked" in verdict.text


def test_reads_the_names_as_we_write_them(site: Site) -> None:
    dn = DistinguishedName.parse(f"{TOP}/OU=People, here/CN=Jane Doe (jd), =#1")
    certificate = end_entity(site.ca, dn.slash).to_pem()
    assert openssl.subject(certificate) == dn.slash
    assert openssl.subject(certificate, "RFC2253") == dn.rfc4514
    assert openssl.issuer(certificate) == site.ca.subject.slash


def test_reads_the_proxy_certificate_information(site: Site) -> None:
    told = openssl.text(delegate(end_entity(site.ca, JANE), path_length=3).to_pem())
    assert "Proxy Certificate Information: critical" in told
    assert "Path Length Constraint: 03" in told
    assert "Policy Language: Inherit all" in told


def test_finds_the_authorities_by_both_hashes(site: Site) -> None:
    for ca in (site.ca, site.rsa_ca):
        for digest in openssl.subject_hashes(ca.certificate_pem()):
            assert (site.trust_dir / f"{digest}.0").read_bytes() == ca.certificate_pem()
