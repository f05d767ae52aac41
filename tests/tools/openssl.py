"""The `openssl` program as a second opinion on certificates and chains."""

import re
import tempfile
from datetime import datetime
from pathlib import Path

from tests.tools.programs import Verdict, need, run

_CERTIFICATE = re.compile(rb"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----\n?", re.DOTALL)

# what `verify` says of a chain
REFUSAL = r"error \d+ at \d+ depth lookup"


def certificates(pem: bytes) -> list[bytes]:
    """Return each certificate of a credential file, in its order and without the keys."""
    return _CERTIFICATE.findall(pem)


def verify(
    pem_chain: bytes,
    trust_dir: Path,
    *,
    strict: bool = False,
    crl_check: bool = False,
    now: datetime | None = None,
) -> Verdict:
    """Verify a proxy chain, leaf first, against a trust directory."""
    need("openssl")
    leaf, *above = certificates(pem_chain)
    with tempfile.TemporaryDirectory() as scratch:
        leaf_file, above_file = Path(scratch, "leaf.pem"), Path(scratch, "above.pem")
        leaf_file.write_bytes(leaf)
        above_file.write_bytes(b"".join(above))
        argv: list[str | Path] = ["openssl", "verify", "-allow_proxy_certs", "-CApath", trust_dir]
        argv += ["-no-CAfile", "-no-CAstore"]  # the machine's own trust has no say
        argv += ["-x509_strict"] if strict else []
        argv += ["-crl_check_all"] if crl_check else []
        argv += ["-attime", str(int(now.timestamp()))] if now else []
        argv += ["-untrusted", above_file] if above else []
        return run([*argv, leaf_file])


def _x509(pem: bytes, *options: str) -> str:
    need("openssl")
    told = run(["openssl", "x509", "-noout", *options], stdin=certificates(pem)[0])
    assert told, told
    return told.text.strip()


def subject(cert_pem: bytes, nameopt: str = "compat") -> str:
    """Return the subject in one of OpenSSL's forms: `compat` is the slash form, also `RFC2253`, `utf8,oneline`."""
    return _x509(cert_pem, "-subject", "-nameopt", nameopt).removeprefix("subject=").strip()


def issuer(cert_pem: bytes, nameopt: str = "compat") -> str:
    """Return the issuer, as `subject` does."""
    return _x509(cert_pem, "-issuer", "-nameopt", nameopt).removeprefix("issuer=").strip()


def text(cert_pem: bytes) -> str:
    """Return the whole certificate for reading."""
    return _x509(cert_pem, "-text")


def subject_hashes(cert_pem: bytes) -> tuple[str, str]:
    """Return the hashes that name a CA in a trust directory: the new one, and OpenSSL 0.9's."""
    return _x509(cert_pem, "-subject_hash"), _x509(cert_pem, "-subject_hash_old")
