"""Beside the programs of VOMS: what they make has the shape of what we make, and they print what we say."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from proxy_gen.credential import Credential
from proxy_gen.keys import KeyKind, private_pem
from proxy_gen.proxy import issue_proxy
from proxy_gen.trust import TrustedAuthority
from proxy_gen.voms.authority import AttributeAuthority
from proxy_gen.voms.certificate import AttributeCertificate, GenericAttribute, attribute_certificates
from proxy_gen.voms.fqan import Fqan
from proxy_gen.voms.vomsdir import vomsdir
from tests.proxy_gen.chains import DAY, HOUR, TOP
from tests.proxy_gen.keyring import key
from tests.proxy_gen.voms.forge import Draft
from tests.proxy_gen.voms.world import CMS_KEY
from tests.tools.minting import authority, end_entity, key_of, write_private, write_trust
from tests.tools.programs import environment, need, run

CA = authority(f"{TOP}/CN=CA")
JANE = end_entity(CA, f"{TOP}/OU=People/CN=Jane Doe", KeyKind.RSA_2048)
HOST = end_entity(CA, f"{TOP}/CN=voms.cms.example", KeyKind.RSA_2048)
CMS = AttributeAuthority(HOST, "cms", "voms.cms.example", 15000)
ATLAS = AttributeAuthority(HOST, "atlas", "voms.atlas.example", 15001)
FQANS = [Fqan.parse(text) for text in ("/cms/Role=production", "/cms", "/cms/heavy/Role=pilot")]
NICKNAME = GenericAttribute("nickname", "jane", "cms")


def issued(by: AttributeAuthority = CMS, fqans: Sequence[Fqan] = FQANS, **extras: object) -> AttributeCertificate:
    now = datetime.now(UTC)
    return by.issue(JANE.leaf, fqans, now=now, lifetime=HOUR, **extras)  # type: ignore[arg-type]


def faked(directory: Path, *options: str) -> AttributeCertificate:
    """Let voms-proxy-fake make an attribute certificate of what we would say."""
    need("voms-proxy-fake")
    _write_trust(directory)
    (directory / "rnd").write_bytes(bytes(range(256)) * 8)
    argv: list[str | Path] = ["voms-proxy-fake", "-rfc", "-newformat", "-certdir", directory / "certificates"]
    for name, credential in (("", JANE), ("host", HOST)):
        certificate = directory / f"{name}cert.pem"
        certificate.write_bytes(credential.leaf.public_bytes(Encoding.PEM))
        own = write_private(directory / f"{name}key.pem", private_pem(key_of(credential)))
        argv += [f"-{name}cert", certificate, f"-{name}key", own]
    argv += ["-voms", "cms", "-uri", "voms.cms.example:15000", *options, "-out", directory / "proxy.pem"]
    done = run([*argv], env=environment(RANDFILE=directory / "rnd"))
    assert done, done
    (found,) = attribute_certificates(Credential.parse((directory / "proxy.pem").read_bytes()).leaf)
    return found


def _write_trust(directory: Path) -> dict[str, str]:
    """Write what VOMS is to trust, return the variables that tell it so."""
    write_trust(directory / "certificates", TrustedAuthority(CA.certificate, (f"{TOP}/*",)))
    for name, content in vomsdir([CMS, ATLAS]).items():
        (directory / "vomsdir" / name).parent.mkdir(parents=True)
        (directory / "vomsdir" / name).write_bytes(content)
    return environment(X509_CERT_DIR=directory / "certificates", X509_VOMS_DIR=directory / "vomsdir")


def outline(ac: AttributeCertificate) -> list[str]:
    """Return depth, type and value of each element, as `openssl asn1parse` prints them, but not of the extensions."""
    need("openssl")
    told = run(["openssl", "asn1parse", "-inform", "DER"], stdin=ac.der).text
    lines: list[tuple[str, str]] = re.findall(r"d=(\d+) +hl=\d+ +l= *\d+ (?:cons|prim): (.*)", told)
    # of the signed part's fields, the extensions are the last; the outer algorithm's two elements follow
    begin = [number for number, (depth, _) in enumerate(lines) if depth == "2"][-3]
    end = next(number for number in range(begin, len(lines)) if lines[number][0] == "1")
    return [f"{depth} {text.strip()}" for depth, text in lines[:begin] + lines[end:]]


def shape(lines: list[str]) -> list[str]:
    """Leave out what must differ: numbers, times, and the hash."""
    unlike = r"(INTEGER +:|GENERALIZEDTIME +:).*"
    return [re.sub(unlike, r"\1", line).replace("sha1With", "sha256With") for line in lines]


def test_the_shape_is_that_of_voms(tmp_path: Path) -> None:
    options = [option for fqan in FQANS for option in ("-fqan", fqan.long)]
    fake, ours = faked(tmp_path, *options), issued()
    assert fake.fqans == ours.fqans
    assert (fake.vo, fake.host, fake.port) == (ours.vo, ours.host, ours.port)
    assert fake.holder_serial == ours.holder_serial
    assert fake.chain == ours.chain
    assert fake.authority_key_id == ours.authority_key_id
    assert fake.is_final
    # voms-proxy-fake names the holder by the issuer, so the two differ there alone
    theirs, own = shape(outline(fake)), shape(outline(ours))
    begin = own.index("6 SEQUENCE")
    theirs_end, own_end = (lines.index("4 INTEGER           :") for lines in (theirs, own))
    assert theirs[:begin] == own[:begin]
    assert theirs[theirs_end:] == own[own_end:]


def test_the_extensions_are_those_of_voms(tmp_path: Path) -> None:
    # voms-proxy-fake 2.1 leaves a space behind the value, and writes no target whatever is asked for
    options = ["-fqan", "/cms/Role=NULL/Capability=NULL", "-ga", f"{NICKNAME.name}={NICKNAME.value} (cms)"]
    fake, ours = faked(tmp_path, *options), issued(attributes=[replace(NICKNAME, value=f"{NICKNAME.value} ")])
    assert fake.attributes == ours.attributes
    assert _by_type(fake) == _by_type(ours)


def _by_type(ac: AttributeCertificate) -> dict[str, tuple[bool, bytes]]:
    return {extension.oid: (extension.critical, extension.value) for extension in Draft.of(ac).extensions}


@pytest.mark.parametrize("several", [False, True], ids=["one VO", "two VOs"])
def test_voms_proxy_info_prints_what_we_say(tmp_path: Path, several: bool) -> None:  # noqa: FBT001
    need("voms-proxy-info")
    acs = [issued(attributes=[NICKNAME])]
    acs += [issued(by=ATLAS, fqans=[Fqan("/atlas", "prod")])] if several else []
    own = key(KeyKind.RSA_2048, CMS_KEY)
    proxy = issue_proxy(
        JANE.leaf,
        key_of(JANE),
        own.public_key(),
        now=datetime.now(UTC),
        lifetime=DAY,
        attribute_certificates=acs,
    )
    file = write_private(tmp_path / "proxy.pem", Credential((proxy, *JANE.chain), own).to_pem())
    told = run(["voms-proxy-info", "-all", "-file", file], env=_write_trust(tmp_path)).text
    sections = [dict(_pairs(section)) for section in told.split("=== VO ")[1:]]
    assert [section["VO"] for section in sections] == [[ac.vo] for ac in acs]
    for section, ac in zip(sections, acs, strict=True):
        generic = [f"{one.name} = {one.value} ({one.qualifier})" for one in ac.attributes]
        assert section["attribute"] == [*(fqan.long for fqan in ac.fqans), *generic]
        assert section["subject"] == [ac.holder_name.slash]
        assert section["issuer"] == [ac.issuer.slash]
        assert section["uri"] == [f"{ac.host}:{ac.port}"]
        hours, minutes, seconds = map(int, section["timeleft"][0].split(":"))
        assert HOUR - timedelta(minutes=2) <= timedelta(hours=hours, minutes=minutes, seconds=seconds) <= HOUR


def _pairs(section: str) -> list[tuple[str, list[str]]]:
    found: dict[str, list[str]] = {}
    for name, value in re.findall(r"^(\w+) *: (.*)$", section, re.MULTILINE):
        found.setdefault(name, []).append(value)
    return list(found.items())
