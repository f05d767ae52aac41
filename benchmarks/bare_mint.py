"""The baseline of minting: the same keys, certificates, extensions and PEM by plain `cryptography`, unchecked."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_BACKDATE = timedelta(minutes=5)
_EEC_LIFETIME = timedelta(hours=48)
_PROXY_LIFETIME = timedelta(hours=12)
# ProxyCertInfo with id-ppl-inheritAll and no path length (RFC 3820 section 3.8)
_PROXY_CERT_INFO = x509.UnrecognizedExtension(
    x509.ObjectIdentifier("1.3.6.1.5.5.7.1.14"), bytes.fromhex("300c300a06082b06010505071501")
)


class BareMint:
    """Mints below a CA."""

    def __init__(self, ca: x509.Certificate, ca_key: ec.EllipticCurvePrivateKey) -> None:
        self._ca = ca
        self._ca_key = ca_key
        identifier = ca.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
        self._authority_key = x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier)

    def mint(self, user: str, leaf_key: rsa.RSAPrivateKey) -> bytes:
        """Return a credential file: proxy, its key, end-entity certificate."""
        key = ec.generate_private_key(ec.SECP256R1())
        eec = self._end_entity(user, key.public_key())
        return credential_file(bare_proxy(eec, key, leaf_key.public_key()), leaf_key, eec)

    def certify(self, user: str, public_key: rsa.RSAPublicKey) -> bytes:
        """Return a proxy for somebody's key, and its end-entity certificate."""
        key = ec.generate_private_key(ec.SECP256R1())
        eec = self._end_entity(user, key.public_key())
        return bare_proxy(eec, key, public_key).public_bytes(Encoding.PEM) + eec.public_bytes(Encoding.PEM)

    def _end_entity(self, user: str, public_key: ec.EllipticCurvePublicKey) -> x509.Certificate:
        now = datetime.now(UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(_name(user))
            .issuer_name(self._ca.subject)
            .public_key(public_key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - _BACKDATE)
            .not_valid_after(now + _EEC_LIFETIME)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(key_encipherment=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
            .add_extension(self._authority_key, critical=False)
        )
        return builder.sign(self._ca_key, hashes.SHA256())


def credential_file(proxy: x509.Certificate, key: rsa.RSAPrivateKey, eec: x509.Certificate) -> bytes:
    """Return the PEM of a proxy, its key, and its end-entity certificate."""
    key_pem = key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    return proxy.public_bytes(Encoding.PEM) + key_pem + eec.public_bytes(Encoding.PEM)


def csr_key(pem: bytes) -> rsa.RSAPublicKey:
    """Return the key of a CSR whose signature holds."""
    request = x509.load_pem_x509_csr(pem)
    public_key = request.public_key()
    assert isinstance(public_key, rsa.RSAPublicKey)
    assert request.is_signature_valid
    return public_key


def bare_proxy(
    eec: x509.Certificate,
    eec_key: ec.EllipticCurvePrivateKey,
    public_key: rsa.RSAPublicKey,
    added: x509.UnrecognizedExtension | None = None,
) -> x509.Certificate:
    """Sign a proxy, with one extension more if need be."""
    now = datetime.now(UTC)
    serial = x509.random_serial_number()
    last = x509.RelativeDistinguishedName([x509.NameAttribute(NameOID.COMMON_NAME, str(serial))])
    identifier = eec.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([*eec.subject.rdns, last]))
        .issuer_name(eec.subject)
        .public_key(public_key)
        .serial_number(serial)
        .not_valid_before(now - _BACKDATE)
        .not_valid_after(now + _PROXY_LIFETIME)
        .add_extension(_PROXY_CERT_INFO, critical=True)
        .add_extension(_key_usage(key_encipherment=True), critical=True)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier), critical=False)
    )
    if added is not None:
        builder = builder.add_extension(added, critical=False)
    return builder.sign(eec_key, hashes.SHA256())


def _name(user: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.DOMAIN_COMPONENT, "org"),
            x509.NameAttribute(NameOID.DOMAIN_COMPONENT, "ttscache"),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "benchmark"),
            x509.NameAttribute(NameOID.COMMON_NAME, "jane"),
            x509.NameAttribute(NameOID.COMMON_NAME, f"u-{user}"),
        ]
    )


def _key_usage(*, key_encipherment: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=key_encipherment,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=False,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )
