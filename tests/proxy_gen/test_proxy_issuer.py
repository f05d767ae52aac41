"""Proxies of one issuer, octet for octet: what is put together here is what `cryptography` would have built."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta, timezone

import pytest
from cryptography import x509
from cryptography.hazmat import asn1
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import example, given, settings
from hypothesis import strategies as st

from proxy_gen.ca import authority_key_identifier, key_usage
from proxy_gen.errors import IssuanceError
from proxy_gen.keys import KeyKind, PrivateKey, SubjectKey, public_der, signature_hash
from proxy_gen.names import DistinguishedName
from proxy_gen.pci import ProxyKind, encode
from proxy_gen.proxy import MAX_PATH_LENGTH, ProxyIssuer, SignedProxy
from proxy_gen.voms.certificate import AttributeCertificate
from proxy_gen.voms.structures import ATTRIBUTE_CERTIFICATES, SignedCertificate
from tests.proxy_gen import der
from tests.proxy_gen.chains import DAY, HOUR, NOW, Delegation, authority, path
from tests.proxy_gen.forge import Draft, Link, load
from tests.proxy_gen.keyring import ec_key, key, rsa_key
from tests.proxy_gen.strategies import FOREIGN_NAMES
from tests.proxy_gen.voms.world import issued
from tests.tools.programs import need, run

pytestmark = pytest.mark.filterwarnings("ignore:Attribute's length")

SECOND = timedelta(seconds=1)
# RFC 5280 section 4.1.2.5: the first moment whose year has four digits
FOUR_DIGITS = datetime(2050, 1, 1, tzinfo=UTC)
FAR = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
KINDS = (KeyKind.RSA_2048, KeyKind.P_256, KeyKind.P_384, KeyKind.ED25519)
LONG = der.name(*[der.Attribute("2.5.4.11", der.UTF8, bytes([65 + n]) * 64) for n in range(8)])


@dataclass(frozen=True)
class Order:
    """What a proxy is asked for with."""

    now: datetime
    lifetime: timedelta
    kind: ProxyKind
    path_length: int | None
    attributes: tuple[AttributeCertificate, ...]


def signed(issuer: ProxyIssuer, public: object, order: Order) -> SignedProxy:
    return issuer.issue(
        SubjectKey.of(public),
        now=order.now,
        lifetime=order.lifetime,
        kind=order.kind,
        path_length=order.path_length,
        attribute_certificates=order.attributes,
    )


def built(parent: Link, subject: PrivateKey, order: Order, serial: int) -> x509.Certificate:
    """Let `cryptography` build it from the recipe."""
    issuer = load(parent.draft.sign(authority().key))
    now, ends = order.now.replace(microsecond=0), [each.not_after for each in order.attributes]
    end = min(issuer.not_valid_after_utc, now + order.lifetime // SECOND * SECOND, *ends, FAR)
    encipherment = isinstance(subject, rsa.RSAPrivateKey)
    builder = (
        x509.CertificateBuilder()
        .subject_name(DistinguishedName(issuer.subject).child(str(serial)).name)
        .issuer_name(issuer.subject)
        .public_key(subject.public_key())
        .serial_number(serial)
        .not_valid_before(max(now - timedelta(minutes=5), issuer.not_valid_before_utc))
        .not_valid_after(end)
        .add_extension(encode(order.kind, order.path_length), critical=True)
        .add_extension(key_usage(digital_signature=True, key_encipherment=encipherment), critical=True)
        .add_extension(authority_key_identifier(issuer), critical=False)
    )
    if order.attributes:
        builder = builder.add_extension(carried(order.attributes), critical=False)
    return builder.sign(parent.key, signature_hash(parent.key))


def carried(attributes: Sequence[AttributeCertificate]) -> x509.UnrecognizedExtension:
    listed = der.sequence(der.sequence(*(each.der for each in attributes)))
    return x509.UnrecognizedExtension(ATTRIBUTE_CERTIFICATES, listed)


def algorithm(certificate: bytes) -> bytes:
    """Return the AlgorithmIdentifier behind the signed part."""
    return asn1.encode_der(asn1.decode_der(SignedCertificate, certificate).algorithm)


def parent_of(own: PrivateKey, draft: Draft) -> Link:
    """Give a certificate another key; its identifier, which may be anything, stays."""
    return Link(replace(draft, public_key=public_der(own.public_key())), own)


NAMES = [*(kind.value for kind in KINDS), "p-521", "another rsa"]
OWN_KEYS = [*(key(kind, 60) for kind in KINDS), ec_key(ec.SECP521R1), rsa_key(2048, 3)]
SUBJECT_KEYS = [*(key(kind, 61) for kind in KINDS), ec.generate_private_key(ec.SECP521R1()), rsa_key(3072)]
DRAFTS = [path().links[0].draft, path([Delegation()]).links[0].draft]
MOMENTS = st.one_of(
    st.datetimes(datetime(1951, 1, 1), datetime(9998, 1, 1)),  # noqa: DTZ001 - the zone comes with the strategy
    st.integers(-400, 400).map(lambda seconds: FOUR_DIGITS.replace(tzinfo=None) + timedelta(seconds=seconds)),
).map(lambda moment: moment.replace(tzinfo=UTC))
ZONES = st.sampled_from([UTC, timezone(timedelta(hours=5, minutes=30)), timezone(timedelta(hours=-11))])
OCTETS = st.binary(max_size=400).map(lambda octets: der.tlv(der.OCTET_STRING, octets))


@st.composite
def parents(draw: st.DrawFn, now: datetime) -> Link:
    """Issuers that are valid at this moment, with all keys and names, with and without a key identifier."""
    draft = replace(
        draw(st.sampled_from(DRAFTS)),
        subject=draw(st.one_of(FOREIGN_NAMES, st.just(LONG))),
        not_before=now - draw(st.timedeltas(timedelta(), DAY)),
        not_after=min(now + draw(st.timedeltas(SECOND, 400 * DAY)), FAR),
    )
    own = draw(st.sampled_from(OWN_KEYS))
    return parent_of(own, draft if draw(st.booleans()) else draft.without(x509.SubjectKeyIdentifier.oid))


@st.composite
def orders(draw: st.DrawFn) -> Order:
    moment = draw(MOMENTS)
    ends = st.timedeltas(SECOND, 2 * DAY).map(lambda left: (moment + left).replace(microsecond=0) + SECOND)
    made = st.builds(lambda octets, end: replace(issued(), der=octets, not_after=end), OCTETS, ends)
    return Order(
        now=moment.astimezone(draw(ZONES)),
        lifetime=draw(st.timedeltas(SECOND, 400 * DAY)),
        kind=draw(st.sampled_from(ProxyKind)),
        path_length=draw(st.none() | st.integers(0, MAX_PATH_LENGTH)),
        attributes=tuple(draw(st.lists(made, max_size=3))),
    )


def require_as_built(parent: Link, subject: PrivateKey, order: Order) -> None:
    made = signed(ProxyIssuer(load(parent.draft.sign(authority().key)), parent.key), subject.public_key(), order)
    reference = built(parent, subject, order, made.serial)
    certificate = load(made.der)
    assert certificate.tbs_certificate_bytes == reference.tbs_certificate_bytes
    assert algorithm(made.der) == algorithm(reference.public_bytes(Encoding.DER))
    certificate.verify_directly_issued_by(load(parent.draft.sign(authority().key)))
    if not isinstance(parent.key, ec.EllipticCurvePrivateKey):  # which has a signature anew each time
        assert made.der == reference.public_bytes(Encoding.DER)
    assert made.pem == certificate.public_bytes(Encoding.PEM)
    assert (made.serial, made.not_before, made.not_after) == (
        reference.serial_number,
        reference.not_valid_before_utc,
        reference.not_valid_after_utc,
    )


@given(st.data())
@settings(max_examples=300, deadline=None)
def test_a_proxy_is_what_the_builder_makes(data: st.DataObject) -> None:
    order = data.draw(orders())
    parent = data.draw(parents(order.now.astimezone(UTC).replace(microsecond=0)))
    require_as_built(parent, data.draw(st.sampled_from(SUBJECT_KEYS)), order)


@pytest.mark.parametrize("own", OWN_KEYS, ids=NAMES)
@pytest.mark.parametrize("subject", SUBJECT_KEYS[:4], ids=NAMES[:4])
@pytest.mark.parametrize("now", [FOUR_DIGITS - HOUR, FOUR_DIGITS - SECOND, FOUR_DIGITS, FOUR_DIGITS + HOUR], ids=str)
def test_every_kind_of_key_at_the_turn_of_2050(own: PrivateKey, subject: PrivateKey, now: datetime) -> None:
    draft = replace(DRAFTS[0], not_before=now - HOUR, not_after=now + DAY)
    require_as_built(parent_of(own, draft), subject, Order(now, HOUR, ProxyKind.FULL, None, ()))


@given(st.integers(1, 16), st.integers(0, 20_000))
@example(1, 65_536)
@settings(max_examples=30, deadline=None)
def test_attribute_certificates_of_any_size(count: int, size: int) -> None:
    attributes = replace(issued(), der=der.tlv(der.OCTET_STRING, bytes(size)))
    order = Order(NOW, HOUR, ProxyKind.LIMITED, None, (attributes,) * count)
    require_as_built(parent_of(OWN_KEYS[1], DRAFTS[0]), SUBJECT_KEYS[0], order)


@pytest.mark.parametrize("own", OWN_KEYS, ids=NAMES)
def test_openssl_reads_and_verifies_it(own: PrivateKey, tmp_path_factory: pytest.TempPathFactory) -> None:
    need("openssl")
    parent = parent_of(own, replace(DRAFTS[0], not_after=FOUR_DIGITS + DAY))
    made = signed(
        ProxyIssuer(load(parent.draft.sign(authority().key)), own),
        SUBJECT_KEYS[0].public_key(),
        Order(NOW, DAY, ProxyKind.FULL, 3, (issued(),)),
    )
    folder = tmp_path_factory.mktemp("chain")
    for name, octets in {"ca": authority().certificate_pem(), "leaf": made.pem}.items():
        (folder / name).write_bytes(octets)
    (folder / "eec").write_bytes(load(parent.draft.sign(authority().key)).public_bytes(Encoding.PEM))
    command = ["openssl", "verify", "-x509_strict", "-allow_proxy_certs", "-attime", f"{NOW.timestamp():.0f}"]
    assert run([*command, "-CAfile", folder / "ca", "-untrusted", folder / "eec", folder / "leaf"])


def test_an_issuer_signs_many() -> None:
    parent = path().links[0]
    issuer = ProxyIssuer(load(parent.draft.sign(authority().key)), parent.key)
    order = Order(NOW, HOUR, ProxyKind.FULL, None, ())
    proxies = [signed(issuer, each.public_key(), order) for each in SUBJECT_KEYS for _ in range(2)]
    assert len({proxy.serial for proxy in proxies}) == len(proxies)
    assert [public_der(load(proxy.der).public_key()) for proxy in proxies[::2]] == [  # type: ignore[arg-type]
        public_der(each.public_key()) for each in SUBJECT_KEYS
    ]


def test_an_issuer_is_refused_before_it_signs() -> None:
    (parent, ca) = path().links
    for link, code in [(ca, "issuer_is_ca"), (replace(parent, key=key(KeyKind.P_256, 62)), "issuer_key_mismatch")]:
        with pytest.raises(IssuanceError) as error:
            ProxyIssuer(load(link.draft.sign(authority().key)), link.key)
        assert error.value.code == code


def test_an_attribute_certificate_that_has_ended_is_refused() -> None:
    parent = path().links[0]
    issuer = ProxyIssuer(load(parent.draft.sign(authority().key)), parent.key)
    ended = replace(issued(), not_after=NOW)
    with pytest.raises(IssuanceError) as error:
        signed(issuer, SUBJECT_KEYS[0].public_key(), Order(NOW, HOUR, ProxyKind.FULL, None, (ended,)))
    assert error.value.code == "ac_expired"
