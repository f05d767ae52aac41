"""`inspect` without a daemon: what is refused without anybody's trust, whose name it tells, what it warns of."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

import pytest
from cryptography import x509

from proxy_gen.ca import CertificateAuthority
from proxy_gen.credential import Credential
from proxy_gen.keys import KeyKind
from proxy_gen.names import DistinguishedName
from proxy_gen.proxy import ProxyKind
from proxy_gen.trust import TrustedAuthority, subject_hash
from proxy_gen.voms.authority import AttributeAuthority
from proxy_gen.voms.certificate import AttributeCertificate
from proxy_gen.voms.fqan import Fqan
from proxy_gen.voms.structures import ATTRIBUTE_CERTIFICATES
from proxy_gen.voms.vomsdir import vomsdir
from tests.cli.test_exchange import failed, good
from tests.proxy_gen.corpus_maker import CORPUS
from tests.proxy_gen.voms.forge import extension_value
from tests.tools.daemons import here
from tests.tools.minting import (
    HOUR,
    authority,
    delegate,
    end_entity,
    key_of,
    resigned,
    tampered,
    write_private,
    write_trust,
)

TOP = "/DC=org/DC=example"
JANE, JOE = f"{TOP}/CN=Jane", f"{TOP}/CN=Joe"


@cache
def ca() -> CertificateAuthority:
    return authority(f"{TOP}/CN=CA")


@cache
def person(dn: str = JANE) -> Credential:
    return end_entity(ca(), dn, now=datetime.now(UTC) - 3 * HOUR)


@cache
def voms() -> AttributeAuthority:
    host = end_entity(ca(), f"{TOP}/CN=voms.example", KeyKind.RSA_2048, now=datetime.now(UTC) - 2 * HOUR)
    return AttributeAuthority(host, "cms", "voms.example", 15000)


def said(
    holder: Credential, *, after: timedelta = timedelta(), lifetime: timedelta = HOUR, targets: Sequence[str] = ()
) -> AttributeCertificate:
    now = datetime.now(UTC) + after
    return voms().issue(holder.chain[-1], [Fqan("/cms")], now=now, lifetime=lifetime, targets=targets)


def carrying(parent: Credential, ac: AttributeCertificate) -> Credential:
    """Make a proxy with an attribute certificate, also with one that the library would not put into it."""
    proxy = delegate(parent, key=KeyKind.P_256)
    carried = x509.UnrecognizedExtension(ATTRIBUTE_CERTIFICATES, extension_value(ac.der))
    leaf = resigned(proxy.leaf, key_of(parent), carried, critical=False)
    return Credential((leaf, *parent.chain), proxy.key)


@pytest.fixture
def certdir(tmp_path: Path) -> Path:
    return write_trust(tmp_path / "certificates", TrustedAuthority(ca().certificate, (f"{TOP}/*",)))


@pytest.fixture
def vomsdir_(tmp_path: Path) -> Path:
    for name, content in vomsdir([voms()]).items():
        (tmp_path / "vomsdir" / name).parent.mkdir(parents=True)
        (tmp_path / "vomsdir" / name).write_bytes(content)
    return tmp_path / "vomsdir"


def kept(directory: Path, credential: Credential) -> Path:
    return write_private(directory / "proxy", credential.to_pem())


def another_parent(proxy: Credential) -> Credential:
    return Credential((proxy.leaf, *person(JOE).chain), proxy.key)


def late(proxy: Credential) -> Credential:
    return delegate(proxy, now=datetime.now(UTC) - 2 * HOUR)


@pytest.mark.parametrize(
    "credential, reason",
    [
        (delegate(person()), None),
        (tampered(delegate(person())), "signature at depth 0: "),
        (another_parent(delegate(person())), "issuer_mismatch at depth 0: "),
        (Credential(delegate(person()).chain[:1]), "chain_incomplete at depth 0: "),
        (late(person()), "expired at depth 0: "),
        (Credential((*person().chain, *late(person()).chain[:1])), "expired"),
    ],
    ids=["good", "tampered", "of another", "no end entity", "expired", "expired behind"],
)
def test_proxies_are_verified_without_a_trust_directory(
    tmp_path: Path, credential: Credential, reason: str | None
) -> None:
    outcome = here("inspect", kept(tmp_path, credential), "--output", "json")
    document = outcome.json
    assert document["verified"] is False
    assert (outcome.status, document["valid"]) == ((0, True) if reason is None else (5, False))
    assert document["reason"].startswith(reason or "no trust directory was given")


@pytest.mark.parametrize(
    "ac, code",
    [
        (said(person()), None),
        (said(person(), targets=["se.example"]), None),
        (said(person(JOE)), "ac_holder"),
        (said(person(), after=-HOUR, lifetime=HOUR / 2), "ac_expired"),
        (said(person(), after=HOUR), "ac_not_yet_valid"),
    ],
    ids=["good", "for a host", "stolen", "expired", "early"],
)
@pytest.mark.parametrize("trusted", [False, True], ids=["no directory", "certdir"])
def test_attributes_are_looked_at_without_a_voms_directory(
    tmp_path: Path, certdir: Path, ac: AttributeCertificate, code: str | None, *, trusted: bool
) -> None:
    file = kept(tmp_path, carrying(person(), ac))
    outcome = here("inspect", file, "--output", "json", *(("--certdir", certdir) if trusted else ()))
    assert outcome.status == (0 if code is None else 5), outcome
    assert outcome.json["verified"] is trusted
    assert outcome.json["attributes_verified"] is False
    assert outcome.json["attributes_reason"].startswith(f"{code} at depth 0: " if code else "that takes")


def test_attributes_for_a_host(tmp_path: Path, certdir: Path, vomsdir_: Path) -> None:
    file = kept(tmp_path, carrying(person(), said(person(), targets=["se.example"])))
    arguments = ("inspect", file, "--certdir", certdir, "--vomsdir", vomsdir_)
    for host, taken in ([], False), (["--host", "ce.example"], False), (["--host", "SE.example"], True):
        outcome = here(*arguments, *host)
        assert outcome.status == (0 if taken else 5), outcome
        assert ("attributes  : verified" if taken else "ac_target at depth 0") in outcome.text


@pytest.mark.parametrize("trusted", [False, True], ids=["no directory", "certdir"])
def test_an_independent_proxy_has_a_name_of_its_own(tmp_path: Path, certdir: Path, *, trusted: bool) -> None:
    independent = delegate(carrying(person(), said(person())), ProxyKind.INDEPENDENT)
    file = kept(tmp_path, delegate(independent, ProxyKind.LIMITED))
    document = good(here("inspect", file, "--output", "json", *(("--certdir", certdir) if trusted else ()))).json
    assert document["identity"] == DistinguishedName(independent.leaf.subject).slash
    assert document["voms"] == []
    assert document["attributes_reason"] is None


@pytest.mark.parametrize(
    "mode, warned", [(0o600, False), (0o400, False), (0o640, True), (0o604, True), (0o660, True)], ids=oct
)
def test_a_key_that_others_may_read_is_warned_of(tmp_path: Path, mode: int, *, warned: bool) -> None:
    file = write_private(tmp_path / "proxy", delegate(person()).to_pem(), mode=mode)
    document = good(here("inspect", file, "--output", "json")).json
    assert document["mode"] == f"{mode:04o}"
    assert [f"mode {mode:04o}" in each for each in document["warnings"]] == [True] * warned
    assert ("\nwarning     : " in good(here("inspect", file)).text) is warned
    without = write_private(tmp_path / "public", Credential(person().chain).to_pem(), mode=mode)
    assert good(here("inspect", without, "--output", "json")).json["warnings"] == []


def test_a_file_that_cannot_be_read_is_like_a_malformed_one(tmp_path: Path, certdir: Path, vomsdir_: Path) -> None:
    file = kept(tmp_path, carrying(person(), said(person())))
    arguments = ("inspect", file, "--certdir", certdir, "--vomsdir", vomsdir_)
    (certdir / "deadbeef.0").mkdir()
    (certdir / "deadbeee.0").symlink_to(tmp_path / "nowhere")
    (certdir / "deadbeef.namespaces").mkdir()
    (vomsdir_ / "atlas").mkdir()
    (vomsdir_ / "atlas" / "voms.example.lsc").symlink_to(tmp_path / "nowhere")
    (vomsdir_ / "lhcb").symlink_to(tmp_path / "nowhere")
    good(here(*arguments))
    digest = subject_hash(ca().certificate.subject)
    for name, code in (
        (f"{digest}.r0", "crl_malformed"),
        (f"{digest}.namespaces", "namespaces_malformed"),
        (f"{digest}.signing_policy", "signing_policy_malformed"),
        (f"{digest}.0", "trust_malformed"),
    ):
        file_before = (certdir / name).rename(tmp_path / name) if (certdir / name).exists() else None
        (certdir / name).symlink_to(tmp_path / "nowhere")
        outcome = here(*arguments)
        assert outcome.status == 5
        assert f"no, {code} at depth 1: " in outcome.text
        (certdir / name).unlink()
        if file_before:
            file_before.rename(certdir / name)
    good(here(*arguments))


def test_a_vo_s_file_that_cannot_be_read(tmp_path: Path, certdir: Path, vomsdir_: Path) -> None:
    file = kept(tmp_path, carrying(person(), said(person())))
    (vomsdir_ / "cms" / "another.example.lsc").symlink_to(tmp_path / "nowhere")
    outcome = here("inspect", file, "--certdir", certdir, "--vomsdir", vomsdir_)
    assert outcome.status == 5
    assert "vomsdir_malformed at depth 0: " in outcome.text
    assert "cms/another.example.lsc" in outcome.text


@pytest.mark.parametrize("option", ["--certdir", "--vomsdir"])
def test_a_directory_that_is_not_there_is_a_mistake(tmp_path: Path, option: str) -> None:
    file = kept(tmp_path, delegate(person()))
    failed(here("inspect", file, option, tmp_path / "absent"), 2, "absent")
    failed(here("inspect", file, option, file), 2, "proxy")


def test_a_serial_number_too_long_to_print() -> None:
    failed(here("inspect", CORPUS / "serial-of-1000-octets.pem"), 5, "credential_malformed")
