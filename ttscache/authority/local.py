"""The local CA: ``ca.pem`` and ``ca.key`` in a directory of their own."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509

from proxy_gen.ca import CertificateAuthority
from proxy_gen.errors import ProxyGenError
from proxy_gen.keys import KeyKind, load_private_key, private_pem
from proxy_gen.names import DistinguishedName
from ttscache.durable import write_atomically
from ttscache.errors import ConfigurationError

CERTIFICATE_FILE = "ca.pem"
KEY_FILE = "ca.key"
# The key of a CA that is being made: it is one once its certificate is there.
_COMING_KEY_FILE = "ca.key.coming"
_LOCK_FILE = ".lock"


def load(directory: Path) -> CertificateAuthority | None:
    """Load the CA; None when there is neither certificate nor key.

    Raises :class:`ttscache.errors.ConfigurationError` for files that cannot be read, do not belong together, or
    whose key others may read.
    """
    certificate, key = directory / CERTIFICATE_FILE, directory / KEY_FILE
    try:
        if not certificate.exists() and not key.exists():
            return None
        _require_private(key)
        parsed = x509.load_pem_x509_certificate(certificate.read_bytes())
        return CertificateAuthority(parsed, load_private_key(key.read_bytes()))
    except OSError as error:
        raise ConfigurationError((f"the CA in {directory} cannot be read: {error.strerror}",)) from None
    except (ValueError, ProxyGenError) as error:
        why = str(error) if isinstance(error, ProxyGenError) else f"{CERTIFICATE_FILE} is no PEM certificate"
        raise ConfigurationError((f"the CA in {directory} cannot be used: {why}",)) from None


def load_or_create(
    directory: Path, subject: DistinguishedName, kind: KeyKind, *, now: datetime, lifetime: timedelta
) -> tuple[CertificateAuthority, bool]:
    """Load the CA, or make it when there is none; the second value tells whether it was made now.

    Under a lock: of several processes that start at once, one makes it. One that was killed on the way leaves a CA
    or none, and a key without its certificate is never replaced. Raises ConfigurationError.
    """
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        with _locked(directory):
            _finish(directory)
            found = load(directory)
            if found is not None:
                return found, False
            made = CertificateAuthority.create(subject, kind, now=now, lifetime=lifetime)
            write_atomically(directory / _COMING_KEY_FILE, private_pem(made.key), mode=0o600)
            write_atomically(directory / CERTIFICATE_FILE, made.certificate_pem(), mode=0o644)
            _finish(directory)
            return made, True
    except OSError as error:
        raise ConfigurationError((f"the CA in {directory} cannot be written: {error.strerror}",)) from None


def _finish(directory: Path) -> None:
    """Put the key of a CA whose certificate is there in its place, if that is still to be done."""
    certificate, key, coming = (directory / name for name in (CERTIFICATE_FILE, KEY_FILE, _COMING_KEY_FILE))
    if coming.exists() and certificate.exists() and not key.exists():
        coming.rename(key)


def _require_private(key: Path) -> None:
    if key.stat().st_mode & 0o077:
        raise ConfigurationError((f"{key} may be read or written by others than its owner; chmod 600 {key}",))


@contextmanager
def _locked(directory: Path) -> Iterator[None]:
    descriptor = os.open(directory / _LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
