"""The local CA's files, in a directory of their own: ``ca.pem`` and ``ca.key``; after rotations ``ca-2.pem`` ..."""

from __future__ import annotations

import fcntl
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.x509.oid import NameOID

from proxy_gen.ca import CertificateAuthority
from proxy_gen.errors import ProxyGenError
from proxy_gen.keys import KeyKind, load_private_key, private_pem
from proxy_gen.names import DistinguishedName
from ttscache.authority.generations import Generations
from ttscache.durable import write_atomically
from ttscache.errors import ConfigurationError
from ttscache.private import is_private

_LOCK_FILE = ".lock"
_CERTIFICATE = re.compile(r"ca(?:-(?P<number>[1-9][0-9]{0,3}))?\.pem\Z")
_GENERATION = re.compile(r"(?P<name>.*?)(?: G(?P<number>[1-9][0-9]{0,3}))?\Z")


def load(directory: Path) -> Generations | None:
    """Load the CA with all its generations; None when there is none.

    Raises :class:`ttscache.errors.ConfigurationError` for files that cannot be read, do not belong together, or
    whose key others may read.
    """
    try:
        stems = _stems(directory)
        # a key alone is a CA that has lost its certificate, not one that is to be made
        if not stems and not (directory / "ca.key").exists():
            return None
        return Generations.of([_load(directory, stem) for stem in stems or ["ca"]])
    except OSError as error:
        raise ConfigurationError((f"the CA in {directory} cannot be read: {error.strerror}",)) from None


def load_or_create(
    directory: Path, subject: DistinguishedName, kind: KeyKind, *, now: datetime, lifetime: timedelta
) -> tuple[Generations, bool]:
    """Load the CA, or make it when there is none; the second value tells whether it was made now.

    Under a lock: of several processes that start at once, one makes it. One that was killed on the way leaves a CA
    or none, and a key without its certificate is never replaced. One in a directory that cannot be written, such as a
    mounted Secret, is loaded without the lock: nobody makes one there. Raises ConfigurationError.
    """
    if not os.access(directory, os.W_OK) and (found := load(directory)) is not None:
        return found, False
    with _writing(directory):
        found = load(directory)
        if found is not None:
            return found, False
        made = CertificateAuthority.create(subject, kind, now=now, lifetime=lifetime)
        _write(directory, "ca", made)
        return Generations.of([made]), True


def rotate(
    directory: Path, subject: DistinguishedName | None, kind: KeyKind, *, begins: datetime, lifetime: timedelta
) -> CertificateAuthority:
    """Make the next generation, which issues from ``begins`` on, and return it.

    Without a subject it has the name of the youngest and a number: `CN=site CA G2`. Raises ConfigurationError, also
    for a name that a generation has already, or a beginning that is not after the youngest's.
    """
    with _writing(directory):
        found = load(directory)
        if found is None:
            raise ConfigurationError((f"there is no CA in {directory}; `ttscache ca init` makes it",))
        youngest = found.all[-1]
        name = subject or _next_name(youngest.subject)
        if any(name.canonical == authority.subject.canonical for authority in found.all):
            raise ConfigurationError((f"a CA of the name {name} is there already; XRootD would not see the second",))
        try:
            made = CertificateAuthority.create(name, kind, now=begins, lifetime=lifetime)
        except ProxyGenError as error:
            hint = "" if subject else "; give --subject"
            raise ConfigurationError((f"the CA cannot be rotated: {error}{hint}",)) from None
        if made.certificate.not_valid_before_utc <= youngest.certificate.not_valid_before_utc:
            raise ConfigurationError(("the next CA must begin after the youngest that there is",))
        _write(directory, f"ca-{_next_number(directory)}", made)
        return made


def _stems(directory: Path) -> list[str]:
    """Return the names of the generations' files, without what follows the dot."""
    if not directory.is_dir():
        return []
    return sorted(file.stem for file in directory.iterdir() if _CERTIFICATE.match(file.name))


def _next_number(directory: Path) -> int:
    numbers = (_CERTIFICATE.match(f"{stem}.pem") for stem in _stems(directory))
    return max(int(found["number"] or 1) for found in numbers if found) + 1


def _next_name(name: DistinguishedName) -> DistinguishedName:
    """Count up the number at the end of the last CN."""
    *rest, (oid, last) = name.pairs
    found = _GENERATION.match(last)
    if oid != NameOID.COMMON_NAME or found is None:
        raise ConfigurationError((f"the name {name} does not end in a CN; give --subject",))
    return DistinguishedName.from_pairs([*rest, (oid, f"{found['name']} G{int(found['number'] or 1) + 1}")])


def _load(directory: Path, stem: str) -> CertificateAuthority:
    certificate, key = directory / f"{stem}.pem", directory / f"{stem}.key"
    if not key.exists():
        key = directory / f"{stem}.key.coming"  # of one that is being made, or whose maker was killed
    _require_private(key)
    try:
        parsed = x509.load_pem_x509_certificate(certificate.read_bytes())
        return CertificateAuthority(parsed, load_private_key(key.read_bytes()))
    except (ValueError, ProxyGenError) as error:
        why = str(error) if isinstance(error, ProxyGenError) else f"{certificate.name} is no PEM certificate"
        raise ConfigurationError((f"the CA in {directory} cannot be used: {why}",)) from None


def _write(directory: Path, stem: str, authority: CertificateAuthority) -> None:
    """Write certificate and key so that a CA is there only with both; see :func:`_finish`."""
    write_atomically(directory / f"{stem}.key.coming", private_pem(authority.key), mode=0o600)
    write_atomically(directory / f"{stem}.pem", authority.certificate_pem(), mode=0o644)
    _finish(directory)


def _finish(directory: Path) -> None:
    """Put the keys of CAs whose certificates are there in their places, and clear away what was written in part."""
    for part in directory.glob(".ca*.*.*"):  # of a writer that was killed: whoever writes holds the lock
        part.unlink()
    for stem in _stems(directory):
        key, coming = directory / f"{stem}.key", directory / f"{stem}.key.coming"
        if coming.exists() and not key.exists():
            coming.rename(key)


def _require_private(key: Path) -> None:
    if not is_private(key.stat()):
        raise ConfigurationError((f"{key} may be read or written by others than its owner; chmod 600 {key}",))


@contextmanager
def _writing(directory: Path) -> Iterator[None]:
    """Hold the directory's lock, after what a killed process began there has been finished."""
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        with _locked(directory):
            _finish(directory)
            yield
    except OSError as error:
        raise ConfigurationError((f"the CA in {directory} cannot be written: {error.strerror}",)) from None


@contextmanager
def _locked(directory: Path) -> Iterator[None]:
    descriptor = os.open(directory / _LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
