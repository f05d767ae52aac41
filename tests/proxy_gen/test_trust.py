"""Trust directories: names of files as OpenSSL looks for them, and what stands in them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path as File

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import example, given, settings
from hypothesis import strategies as st

from proxy_gen.errors import CredentialFileError, VerificationError
from proxy_gen.keys import KeyKind
from proxy_gen.names import DistinguishedName
from proxy_gen.trust import (
    TrustAnchors,
    TrustedAuthority,
    is_trust_file,
    subject_hash,
    subject_hash_old,
    trust_directory,
)
from proxy_gen.verify import verify
from tests.proxy_gen import der, libcrypto
from tests.proxy_gen.chains import DAY, HOUR, NOW, TOP, Delegation, authority, path, pem
from tests.proxy_gen.forge import Draft, load
from tests.proxy_gen.strategies import FOREIGN_NAMES
from tests.tools import openssl
from tests.tools.programs import need, run

CN = "2.5.4.3"
CA, NAMESAKE = authority(), authority(KeyKind.ED25519)
PEOPLE = (f"{TOP}/OU=People/*",)


def written(files: Mapping[str, bytes], directory: File) -> File:
    for name, content in files.items():
        (directory / name).write_bytes(content)
    return directory


@given(FOREIGN_NAMES)
@example(der.name())
@example(der.name(der.Attribute(CN, der.UTF8, b"")))
@example(der.name(der.Attribute(CN, der.UTF8, b"  \t\n ")))
@example(der.name(der.Attribute(CN, der.T61, " É  é ".encode())))
@example(der.name(der.Attribute(CN, der.IA5, "É".encode())))
@example(der.name(der.Attribute(CN, der.UTF8, " A\u00a0 \u2003É  b ".encode())))
@example(der.name(der.Attribute(CN, der.BMP, " A  É".encode("utf-16-be"))))
@example(der.name(der.Attribute(CN, der.NUMERIC, b" 1  2 ")))
@example(der.name(der.Attribute("2.5.4.6", der.PRINTABLE, b"CHE")))
@example(der.name(der.Attribute(CN, der.UTF8, b"x" * 300)))
@example(der.name(der.Attribute("2.5.4.45", der.BIT_STRING, b"\0abc")))
@example(der.name([der.Attribute("2.5.4.10", der.PRINTABLE, b"B"), der.Attribute("2.5.4.11", der.UTF8, b"a")]))
@settings(max_examples=300, deadline=None)
@pytest.mark.filterwarnings("ignore:Attribute's length")
def test_hashes_are_openssls(name: bytes) -> None:
    parsed = x509.Name.from_bytes(name)
    assert (subject_hash(parsed), subject_hash_old(parsed)) == libcrypto.hashes(name)


def test_the_program_openssl_says_the_same() -> None:
    subject = CA.certificate.subject
    assert openssl.subject_hashes(CA.certificate_pem()) == (subject_hash(subject), subject_hash_old(subject))


def test_no_warning_is_given_for_a_length() -> None:
    with pytest.warns(UserWarning, match="length"):
        name = x509.Name.from_bytes(der.name(der.Attribute(CN, der.UTF8, b"x" * 65)))
    subject_hash(name)  # a warning would be an error here


def test_the_files_of_a_ca() -> None:
    crl = CA.crl([], number=1, now=NOW, lifetime=DAY)
    files = trust_directory([TrustedAuthority(CA.certificate, PEOPLE, crl)])
    hashes = {subject_hash(CA.certificate.subject), subject_hash_old(CA.certificate.subject)}
    assert set(files) == {f"{h}.{e}" for h in hashes for e in ("0", "signing_policy", "namespaces", "r0")}
    for digest in hashes:
        assert files[f"{digest}.0"] == CA.certificate_pem()
        assert files[f"{digest}.r0"] == crl.public_bytes(Encoding.PEM)
        assert files[f"{digest}.signing_policy"].decode().splitlines() == [
            f"access_id_CA   X509    '{TOP}/CN=CA'",
            "pos_rights     globus  CA:sign",
            f"""cond_subjects  globus  '"{TOP}/CN=CA" "{TOP}/OU=People/*"'""",
        ]
        assert files[f"{digest}.namespaces"].decode().splitlines() == [
            f'TO Issuer "{TOP}/CN=CA" \\',
            f'  PERMIT Subject "{TOP}/CN=CA"',
            f'TO Issuer "{TOP}/CN=CA" \\',
            f'  PERMIT Subject "{TOP}/OU=People/.*"',
        ]


def test_a_namespace_is_a_regular_expression_that_means_the_name() -> None:
    files = trust_directory([TrustedAuthority(CA.certificate, ("/O=a.b (c)/CN=x*y",))])
    content = next(content.decode() for name, content in files.items() if name.endswith(".namespaces"))
    assert r'PERMIT Subject "/O=a\.b \(c\)/CN=x\*y"' in content


def test_cas_of_one_name_are_numbered_and_share_their_policy() -> None:
    files = trust_directory(
        [TrustedAuthority(CA.certificate, PEOPLE), TrustedAuthority(NAMESAKE.certificate, (*PEOPLE, "/O=more/*"))]
    )
    digest = subject_hash(CA.certificate.subject)
    assert files[f"{digest}.0"] == CA.certificate_pem()
    assert files[f"{digest}.1"] == NAMESAKE.certificate_pem()
    assert files[f"{digest}.signing_policy"].count(b"OU=People") == 1
    assert files[f"{digest}.signing_policy"].count(b"/O=more/*") == 1
    assert files[f"{digest}.signing_policy"].count(b"access_id_CA") == 1
    assert b"OU=People" in files[f"{digest}.namespaces"]
    assert b"/O=more/.*" in files[f"{digest}.namespaces"]


def test_cas_of_one_hash_and_two_spellings_have_a_policy_each() -> None:
    shouting = authority(dn=f"{TOP}/CN=ca")
    files = trust_directory(
        [TrustedAuthority(CA.certificate, ("/O=a/*",)), TrustedAuthority(shouting.certificate, PEOPLE)]
    )
    content = files[f"{subject_hash(CA.certificate.subject)}.signing_policy"].decode()
    assert [line.split()[-1] for line in content.splitlines() if line.startswith("access")] == [
        f"'{TOP}/CN=CA'",
        f"'{TOP}/CN=ca'",
    ]
    assert files[f"{subject_hash_old(shouting.certificate.subject)}.signing_policy"].count(b"access_id_CA") == 1


@pytest.mark.parametrize("ca", [CA, NAMESAKE], ids=["first", "second"])
def test_openssl_finds_each_ca_and_its_crl_in_the_directory(ca: object, tmp_path: File) -> None:
    mine = NAMESAKE if ca is NAMESAKE else CA
    links = path([Delegation()], cas=[mine])
    revoked = mine.crl([(links.links[1].draft.serial, NOW - HOUR)], number=2, now=NOW, lifetime=DAY)
    other = TrustedAuthority((CA if mine is NAMESAKE else NAMESAKE).certificate, PEOPLE)
    chain = pem(links.signed()[:2])
    for number, (crl, accepted) in enumerate([(mine.crl([], number=1, now=NOW, lifetime=DAY), True), (revoked, False)]):
        own = TrustedAuthority(mine.certificate, PEOPLE, crl)
        directory = tmp_path / str(number)
        directory.mkdir()
        written(trust_directory([other, own] if mine is NAMESAKE else [own, other]), directory)
        assert openssl.verify(chain, directory, now=NOW, strict=True)
        eec = pem(links.signed()[1:2])
        verdict = openssl.verify(eec, directory, now=NOW, crl_check=True)
        assert bool(verdict) is accepted, verdict
        assert accepted or "certificate revoked" in verdict.text


def test_a_crl_file_verifies(tmp_path: File) -> None:
    need("openssl")
    crl = CA.crl([(5, NOW)], number=3, now=NOW, lifetime=DAY)
    written(trust_directory([TrustedAuthority(CA.certificate, PEOPLE, crl)]), tmp_path)
    digest = subject_hash(CA.certificate.subject)
    told = run(["openssl", "crl", "-noout", "-CAfile", tmp_path / f"{digest}.0", "-in", tmp_path / f"{digest}.r0"])
    assert told
    assert "verify OK" in told.text


def test_what_is_written_is_read() -> None:
    files = trust_directory([TrustedAuthority(each.certificate, PEOPLE) for each in (CA, NAMESAKE)])
    trust = TrustAnchors.from_files(files | {"README": b"text", "0123abcd.r0": b"text"})
    assert trust.by_subject == {CA.certificate.subject: (CA.certificate, NAMESAKE.certificate)}
    certificates = [load(c) for c in path([Delegation()]).signed()]
    assert trust.issuers_of(certificates[1]) == (CA.certificate, NAMESAKE.certificate)
    assert trust.issuers_of(certificates[0]) == ()
    assert verify(certificates[:2], trust, NOW).anchor == CA.certificate


@pytest.mark.parametrize(
    "name, expected",
    [
        ("0123abcd.0", True),
        ("0123abcd.10", True),
        ("0123abcd.r0", True),
        ("0123abcd.r10", True),
        ("0123abcd.signing_policy", True),
        ("0123abcd.namespaces", True),
        ("0123abcd.namespaces~", False),
        ("0123abcd.info", False),
        ("0123ABCD.0", False),
        ("0123abcd.0\n", False),
        ("x0123abcd.0", False),
        ("ca.pem", False),
    ],
)
def test_which_files_matter(name: str, expected: bool) -> None:  # noqa: FBT001
    assert is_trust_file(name) is expected


DIGEST = subject_hash(CA.certificate.subject)
OLD = subject_hash_old(CA.certificate.subject)
FILES = trust_directory([TrustedAuthority(CA.certificate, PEOPLE)])
CHAIN = path([Delegation()]).signed()[:2]


def refusal(files: Mapping[str, bytes]) -> tuple[str, int, str] | None:
    """Return code, depth and message of what a directory makes of a chain of the CA, None where it holds."""
    try:
        verify([load(each) for each in CHAIN], TrustAnchors.from_files(files), NOW)
    except VerificationError as error:
        return error.code, error.depth, str(error)
    return None


def renamed(old: str, *new: str) -> dict[str, bytes]:
    return {name: content for name, content in FILES.items() if name != old} | dict.fromkeys(new, FILES[old])


@pytest.mark.parametrize(
    "files, accepted",
    [
        (FILES, True),
        (renamed(f"{OLD}.0"), True),
        (renamed(f"{DIGEST}.0"), False),
        (renamed(f"{DIGEST}.0", "00000000.0"), False),
        (renamed(f"{DIGEST}.0", f"{DIGEST}.1"), False),
        (renamed(f"{DIGEST}.0", f"{DIGEST}.00"), False),
        (renamed(f"{DIGEST}.0", f"{DIGEST}.1") | {f"{DIGEST}.0": NAMESAKE.certificate_pem()}, True),
        (renamed(f"{DIGEST}.0", f"{DIGEST}.2") | {f"{DIGEST}.0": NAMESAKE.certificate_pem()}, False),
        (renamed(f"{DIGEST}.0", f"{DIGEST}.1") | {f"{DIGEST}.0": b"text"}, False),
        (FILES | {f"{DIGEST}.1": b"text"}, True),
        (FILES | {"00000000.0": b"text"}, True),
    ],
    ids=[
        "ours", "new hash", "old hash", "wrong hash", "from 1", "two digits", "second", "gap", "behind text",
        "before text", "beside text"
    ],
)  # fmt: skip
def test_a_ca_is_found_where_openssl_finds_it(tmp_path: File, files: dict[str, bytes], accepted: bool) -> None:  # noqa: FBT001
    assert (refusal(files) is None) is accepted
    assert bool(openssl.verify(pem(CHAIN), written(files, tmp_path), now=NOW)) is accepted


@given(st.binary(max_size=100) | st.binary(max_size=300).map(lambda octets: der.pem("CERTIFICATE", octets)))
@settings(max_examples=150, deadline=None)
def test_what_is_no_certificate_is_told_to_chains_that_need_it(content: bytes) -> None:
    message = f"{DIGEST}.0 holds no PEM certificate"
    assert refusal(FILES | {f"{DIGEST}.0": content}) == ("trust_malformed", 1, message)
    assert TrustAnchors.from_files({"0123abcd.0": content}).malformed == {"0123abcd": "0123abcd.0"}
    assert refusal(FILES | {"0123abcd.0": content}) is None


@given(st.integers(1, len(CA.certificate_pem()) - 30))
@settings(max_examples=60, deadline=None)
def test_a_certificate_cut_short_is_none(length: int) -> None:
    told = refusal(FILES | {f"{DIGEST}.0": CA.certificate_pem()[:length]})
    assert told is not None
    assert told[0] == "trust_malformed"


LATIN = der.name(der.Attribute(CN, der.T61, b"\xe9"))


@pytest.mark.parametrize(
    "draft",
    [replace(Draft.of(CA.certificate), subject=LATIN), replace(Draft.of(CA.certificate), issuer=LATIN)],
    ids=["subject", "issuer"],
)
def test_what_has_an_unreadable_name_is_none(draft: Draft) -> None:
    bad = load(draft.sign(CA.key))
    with pytest.raises(CredentialFileError) as error:
        TrustAnchors.of([bad])
    assert error.value.code == "trust_malformed"
    told = refusal(FILES | {f"{DIGEST}.0": bad.public_bytes(Encoding.PEM)})
    assert told is not None
    assert told[0] == "trust_malformed"


def test_a_certificate_that_is_there_twice_is_trusted_once() -> None:
    trust = TrustAnchors.of([CA.certificate, load(CA.certificate.public_bytes(Encoding.DER))])
    assert trust.by_subject == {DistinguishedName.parse(f"{TOP}/CN=CA").name: (CA.certificate,)}
