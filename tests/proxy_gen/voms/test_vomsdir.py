"""VOMS trust directories: who may speak for which VO, by names or by certificate."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy_gen.ca import CertificateAuthority
from proxy_gen.credential import Credential
from proxy_gen.errors import VerificationError
from proxy_gen.keys import KeyKind
from proxy_gen.names import DistinguishedName
from proxy_gen.trust import TrustAnchors, TrustedAuthority, trust_directory
from proxy_gen.voms.authority import AttributeAuthority
from proxy_gen.voms.structures import SIGNER_CERTIFICATES
from proxy_gen.voms.vomsdir import VomsTrust, is_vomsdir_file, lsc_file, vomsdir
from tests.proxy_gen import der
from tests.proxy_gen.chains import DAY, NOW, TOP, authorities, authority, path
from tests.proxy_gen.forge import Draft, Path, load
from tests.proxy_gen.keyring import key
from tests.proxy_gen.voms import forge
from tests.proxy_gen.voms.makers import LSC, bent, without
from tests.proxy_gen.voms.world import ATLAS, CMS, CMS_KEY, PORT, TRUST, issued, jane, refused, verified

pytestmark = pytest.mark.filterwarnings("ignore:Parsed a serial number", "ignore:Attribute's length")

HOST, CA_NAME = f"{TOP}/CN=voms.cms.example", f"{TOP}/CN=CA"
PAIR = f"{HOST}\n{CA_NAME}\n".encode()
OTHER = b"/CN=other\n/CN=other CA\n"
PEM = CMS.certificate.public_bytes(Encoding.PEM)
NEXT = b"------ NEXT CHAIN ------\n"


def lsc(content: bytes) -> VomsTrust:
    return VomsTrust.from_files({LSC: content})


def pem(*certificates: x509.Certificate) -> VomsTrust:
    content = b"".join(certificate.public_bytes(Encoding.PEM) for certificate in certificates)
    return VomsTrust.from_files({"cms/voms.pem": content})


def carrier(by: AttributeAuthority = CMS) -> Path:
    return forge.carrying(jane(), issued(by=by).der)


WITHOUT_CERTIFICATES = bent(without(SIGNER_CERTIFICATES))


def test_an_lsc_file_is_subject_and_issuer() -> None:
    assert lsc_file(CMS.chain) == PAIR
    assert vomsdir([CMS, ATLAS]) == {
        LSC: PAIR,
        "atlas/voms.atlas.example.lsc": f"{TOP}/CN=voms.atlas.example\n{CA_NAME}\n".encode(),
    }


@pytest.mark.parametrize(
    "content",
    [
        PAIR,
        PAIR.rstrip(),
        PAIR.replace(b"\n", b"\r\n"),
        b"# the authority\n\n" + PAIR.replace(b"\n", b"  \n\n  # and its CA\n\t"),
        OTHER + NEXT + PAIR,
        PAIR + NEXT + OTHER,
        OTHER + b"--- NEXT CHAIN ---\r\n" + PAIR,
        NEXT + PAIR + NEXT,
        PAIR + f"{CA_NAME}\n{CA_NAME}\n".encode(),
    ],
    ids=["plain", "no end", "CRLF", "comments", "second", "first", "short rule", "empty chains", "up to the root"],
)
def test_a_signer_is_trusted_by_name(content: bytes) -> None:
    assert verified(carrier(), voms=lsc(content))


@pytest.mark.parametrize(
    "content",
    [
        OTHER,
        OTHER + PAIR,
        f"{CA_NAME}\n{HOST}\n".encode(),
        f"{HOST.upper()}\n{CA_NAME}\n".encode(),
        PAIR.replace(b"voms.cms", b"voms2.cms"),
        f"{HOST}/CN=1\n{CA_NAME}\n".encode(),
    ],
    ids=["other", "above another", "turned round", "capitals", "another host", "longer"],
)
def test_a_signer_is_not_trusted_by_another_name(content: bytes) -> None:
    assert refused(carrier(), voms=lsc(content)) == ("ac_untrusted", 0)


@pytest.mark.parametrize("content", [b"", b"# nothing\n", NEXT])
def test_an_lsc_file_that_names_nobody_trusts_nobody(content: bytes) -> None:
    assert not lsc(content).knows("cms")
    assert refused(carrier(), voms=lsc(content)) == ("ac_vo_unknown", 0)
    beside = VomsTrust.from_files({LSC: content, "cms/voms.pem": PEM})
    assert refused(carrier(), voms=beside) == ("ac_untrusted", 0)


@pytest.mark.parametrize(
    "content",
    [
        f"{HOST}\n".encode(),
        PAIR + b"/CN=third\n",
        PAIR + NEXT + b"/CN=one\n",
        b"CN=voms\nCN=CA\n",
        b"-----BEGIN CERTIFICATE-----\n",
        b"\xff\xfe\n\xff\n",
        b"/CN=x\n" * 20_000,
    ],
    ids=["one line", "three lines", "one in the second", "another form", "PEM", "no text", "too long"],
)
def test_a_malformed_lsc_file_is_told_to_its_vo_by_name(content: bytes) -> None:
    assert refused(carrier(), voms=lsc(content)) == ("vomsdir_malformed", 0)
    assert LSC in lsc(content).malformed["cms"]
    # whom a file beside it trusts is not trusted either: it may be what the broken one was to narrow
    beside = VomsTrust.from_files({LSC: content, "cms/voms.pem": PEM, **vomsdir([ATLAS])})
    assert refused(carrier(), voms=beside) == ("vomsdir_malformed", 0)
    assert verified(carrier(ATLAS), voms=beside)


@pytest.mark.parametrize("separator", ["\v", "\f", "\x1c", "\x85", "\u2028", "\r"])
def test_a_line_ends_with_a_line_feed_only(separator: str) -> None:
    assert set(lsc(f"{HOST}{separator}{CA_NAME}".encode()).malformed) == {"cms"}


@pytest.mark.parametrize(
    "content",
    [b"", b"text", PEM[:-40], PEM.replace(b"MII", b"MIJ"), PEM * 100],
    ids=["empty", "text", "cut", "broken", "too long"],
)
def test_a_malformed_certificate_is_told_to_its_vo_by_name(content: bytes) -> None:
    voms = VomsTrust.from_files({"cms/voms.pem": content, LSC: PAIR, **vomsdir([ATLAS])})
    assert "cms/voms.pem" in voms.malformed["cms"]
    assert refused(carrier(), voms=voms) == ("vomsdir_malformed", 0)
    assert verified(carrier(ATLAS), voms=voms)


def test_a_certificate_whose_name_cannot_be_read_is_malformed() -> None:
    name = der.name(der.Attribute("2.5.4.3", der.T61, b"\xe9"))
    bad = load(replace(Draft.of(CMS.certificate), subject=name).sign(authority().key))
    assert set(pem(bad).malformed) == {"cms"}


def test_each_vo_trusts_its_own() -> None:
    only_cms = VomsTrust.from_files(vomsdir([CMS]))
    assert only_cms.knows("cms")
    assert not only_cms.knows("atlas")
    assert refused(carrier(ATLAS), voms=only_cms) == ("ac_vo_unknown", 0)
    assert refused(carrier(ATLAS), voms=VomsTrust.from_files({})) == ("ac_vo_unknown", 0)
    swapped = VomsTrust.from_files({"atlas/voms.cms.example.lsc": PAIR, LSC: OTHER})
    assert refused(carrier(), voms=swapped) == ("ac_untrusted", 0)


@pytest.mark.parametrize(
    "name",
    [
        "voms.cms.example.lsc",
        "/voms.cms.example.lsc",
        "cms/sub/voms.cms.example.lsc",
        "../voms.cms.example.lsc",
        "cms/.lsc",
        "cms/..lsc",
        "cms/voms.cms.example.lsc~",
        "cms/voms.cms.example.lsc\n",
        "c ms/voms.cms.example.lsc",
        "cms/README",
    ],
)
def test_other_files_say_nothing(name: str) -> None:
    assert not is_vomsdir_file(name)
    assert not VomsTrust.from_files({name: PAIR}).chains


@pytest.mark.parametrize("name", [LSC, "cms/voms.pem", "cms/0a1b2c3d.0", "vo.example.org/h.lsc"])
def test_files_are_known_by_name(name: str) -> None:
    assert is_vomsdir_file(name)


def test_a_signer_is_trusted_by_certificate() -> None:
    assert verified(carrier(), voms=pem(CMS.certificate))
    assert verified(WITHOUT_CERTIFICATES(), voms=pem(CMS.certificate))
    assert verified(WITHOUT_CERTIFICATES(), voms=pem(ATLAS.certificate, CMS.certificate))
    assert refused(carrier(), voms=pem(ATLAS.certificate)) == ("ac_untrusted", 0)
    assert refused(WITHOUT_CERTIFICATES(), voms=pem(ATLAS.certificate)) == ("ac_untrusted", 0)


def test_an_lsc_file_of_the_host_alone_counts() -> None:
    both = VomsTrust.from_files({LSC: OTHER, "cms/voms.pem": PEM})
    assert refused(carrier(), voms=both) == ("ac_untrusted", 0)
    # VOMS looks at it only for what brings certificates along
    assert verified(WITHOUT_CERTIFICATES(), voms=both)
    other_host = VomsTrust.from_files({"cms/voms2.cms.example.lsc": OTHER, "cms/voms.pem": PEM})
    assert verified(carrier(), voms=other_host)


def renewed(number: int, *, now: datetime = NOW) -> x509.Certificate:
    own = key(KeyKind.RSA_2048, number)
    name = DistinguishedName.parse(HOST)
    return authority().issue_eec(name, own.public_key(), now=now - DAY, lifetime=2 * DAY)


@pytest.mark.parametrize("number", [CMS_KEY, CMS_KEY + 10], ids=["same key", "new key"])
def test_a_renewed_certificate_stands_beside_the_old_one(number: int) -> None:
    other = renewed(number)
    assert verified(WITHOUT_CERTIFICATES(), voms=pem(CMS.certificate, other))
    assert verified(WITHOUT_CERTIFICATES(), voms=pem(other, CMS.certificate))
    expired = renewed(number, now=NOW - 5 * DAY)
    assert verified(WITHOUT_CERTIFICATES(), voms=pem(expired, CMS.certificate))
    assert refused(carrier(), voms=pem(other)) == ("ac_untrusted", 0)


def test_a_namesakes_signature_does_not_hold() -> None:
    namesake = renewed(CMS_KEY + 10)
    assert refused(WITHOUT_CERTIFICATES(), voms=pem(namesake)) == ("ac_key_id", 0)


def test_a_signer_below_an_intermediate_ca() -> None:
    links = path(cas=authorities(2), eec_kind=KeyKind.RSA_2048, identity=DistinguishedName.parse(HOST))
    chain = tuple(map(load, links.signed()))
    aa = AttributeAuthority(Credential(chain, links.links[0].key), "cms", CMS.host, PORT)
    voms = VomsTrust.from_files(vomsdir([aa]))
    trust = TrustAnchors.of([*chain[1:], authority().certificate])
    carried = forge.carrying(jane(), issued(by=aa).der)
    assert verified(carried, voms=voms, trust=trust)
    only_root = TrustAnchors.of([chain[2], authority().certificate])
    assert refused(carried, voms=voms, trust=only_root) == ("ac_signer", 0)
    assert refused(carried, voms=lsc(PAIR), trust=trust) == ("ac_untrusted", 0)


def trust_with(crl: x509.CertificateRevocationList | None, ca: CertificateAuthority) -> TrustAnchors:
    return TrustAnchors.from_files(trust_directory([TrustedAuthority(ca.certificate, (f"{TOP}/*",), crl)]))


def test_a_revoked_signer_says_nothing() -> None:
    ca, serial = authority(), CMS.certificate.serial_number
    crl = ca.crl([(serial, NOW - DAY)], number=1, now=NOW - DAY, lifetime=3 * DAY)
    assert refused(carrier(), trust=trust_with(crl, ca)) == ("ac_signer", 0)
    empty = ca.crl([], number=1, now=NOW - DAY, lifetime=3 * DAY)
    assert verified(carrier(), trust=trust_with(empty, ca))


@given(st.dictionaries(st.sampled_from([LSC, "cms/a.pem", "x/y.0"]), st.binary(max_size=200)))
@settings(max_examples=150, deadline=None)
def test_random_octets_are_read_or_malformed(files: dict[str, bytes]) -> None:
    malformed = VomsTrust.from_files(files).malformed
    assert set(malformed) <= {name.partition("/")[0] for name in files}
    assert not any("\n" in each for each in malformed.values())


@given(st.integers(0, len(PEM) - 1), st.integers(0, 255))
@settings(max_examples=150, deadline=None)
def test_a_certificate_with_an_octet_changed_is_read_or_malformed(position: int, octet: int) -> None:
    changed = PEM[:position] + bytes([octet]) + PEM[position + 1 :]
    found = VomsTrust.from_files({"cms/voms.pem": changed})
    try:
        verified(WITHOUT_CERTIFICATES(), voms=found, trust=TRUST)
    except VerificationError as error:
        assert (error.code == "vomsdir_malformed") == bool(found.malformed)  # noqa: PT017 - to hold is well, too
        assert error.code.startswith(("ac_", "vomsdir_"))  # noqa: PT017


def test_targets_are_compared_as_hosts_are() -> None:
    aimed = forge.carrying(jane(), issued(targets=["se.example", "CE.example"]).der)
    assert verified(aimed, host="se.example")
    assert verified(aimed, host="SE.Example")
    assert verified(aimed, host="ce.example")
    for host in ("example", "se.example.org", "xse.example", "", None):
        assert refused(aimed, host=host) == ("ac_target", 0)
    assert verified(carrier(), host="anywhere")
    many = forge.carrying(jane(), issued(targets=[f"h{number}.example" for number in range(100)]).der)
    assert refused(many) == ("ac_target", 0)
