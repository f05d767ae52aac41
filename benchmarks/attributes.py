"""Proxies with a VOMS attribute certificate: CPU time of `proxy_gen` against bare `cryptography`.

The end-entity certificate (P-256) and the keys are given, as a store and a pool give them; what is signed is an
attribute certificate with two FQANs, by an authority with an RSA-2048 key, and the RSA-2048 proxy that carries it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding

from benchmarks.bare_attributes import BareAttributes
from benchmarks.bare_mint import bare_proxy, credential_file
from benchmarks.figures import Figure, Goal, compared
from proxy_gen.credential import Credential
from proxy_gen.keys import KeyKind, generate_key
from proxy_gen.proxy import issue_proxy
from proxy_gen.voms.authority import AttributeAuthority
from proxy_gen.voms.certificate import attribute_certificates
from proxy_gen.voms.fqan import Fqan
from tests.tools.minting import authority, end_entity

_ROUNDS = 40
_PROXIES = 40
_TOP = "/DC=org/DC=ttscache/O=benchmark"
_FQANS = ("/cms/Role=production/Capability=NULL", "/cms/Role=NULL/Capability=NULL")
_LIFETIME = timedelta(hours=12)

_MakeOne = Callable[[x509.Certificate], bytes]


async def run() -> list[Figure]:
    """Measure."""
    ca = authority(f"{_TOP}/CN=benchmark CA")
    jane = end_entity(ca, f"{_TOP}/CN=jane")
    leaf = generate_key(KeyKind.RSA_2048)
    voms = AttributeAuthority(end_entity(ca, f"{_TOP}/CN=localhost", KeyKind.RSA_2048), "cms", "localhost", 15000)
    assert isinstance(jane.key, ec.EllipticCurvePrivateKey)
    assert isinstance(leaf, rsa.RSAPrivateKey)
    ours, bare = _library(voms, jane.key, leaf), _bare(voms, jane.key, leaf)
    _require_alike(ours(jane.leaf), bare(jane.leaf))
    rounds = [(_measured(ours, jane.leaf), _measured(bare, jane.leaf)) for _ in range(_ROUNDS + 1)]
    # the first round is to warm up
    return [compared("attributes", "AC and proxy", "ms CPU", rounds[1:], goal=Goal("<", 1.5))]


def _library(voms: AttributeAuthority, key: ec.EllipticCurvePrivateKey, leaf: rsa.RSAPrivateKey) -> _MakeOne:
    def make(eec: x509.Certificate) -> bytes:
        now = datetime.now(UTC)
        fqans = [Fqan.parse(text) for text in _FQANS]
        attributes = voms.issue(eec, fqans, now=now, lifetime=_LIFETIME)
        proxy = issue_proxy(
            eec, key, leaf.public_key(), now=now, lifetime=_LIFETIME, attribute_certificates=[attributes]
        )
        return Credential((proxy, eec), leaf).to_pem()

    return make


def _bare(voms: AttributeAuthority, key: ec.EllipticCurvePrivateKey, leaf: rsa.RSAPrivateKey) -> _MakeOne:
    assert isinstance(voms.credential.key, rsa.RSAPrivateKey)
    bare = BareAttributes(voms.certificate, voms.credential.key, f"{voms.vo}://{voms.host}:{voms.port}")

    def make(eec: x509.Certificate) -> bytes:
        proxy = bare_proxy(eec, key, leaf.public_key(), bare.extension(eec, _FQANS))
        return credential_file(proxy, leaf, eec)

    return make


def _require_alike(ours: bytes, bare: bytes) -> None:
    """Tell a baseline that makes something else from one that makes the same faster."""
    made = [Credential.parse(pem).leaf for pem in (ours, bare)]
    one, other = ([(e.oid, e.critical) for e in certificate.extensions] for certificate in made)
    assert one == other, "not the same extensions in the proxies"
    (mine,), (its,) = (attribute_certificates(certificate) for certificate in made)
    for name in ("holder_name", "holder_serial", "issuer", "fqans", "chain", "authority_key_id", "is_final"):
        assert getattr(mine, name) == getattr(its, name), f"not the same {name} in the attribute certificates"
    assert abs(len(mine.der) - len(its.der)) <= 2  # a serial number's leading zeros


def _measured(make: _MakeOne, certificate: x509.Certificate) -> float:
    """Return the milliseconds a proxy, each below a certificate that nobody has looked into yet."""
    der = certificate.public_bytes(Encoding.DER)
    holders = [x509.load_der_x509_certificate(der) for _ in range(_PROXIES)]
    started = time.thread_time()
    for holder in holders:
        make(holder)
    return (time.thread_time() - started) / _PROXIES * 1e3
