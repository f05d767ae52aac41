"""The parts of a configuration that say who signs: the authority, and the VOs' attribute authorities."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path as FilePath
from typing import Any
from urllib.parse import urlsplit

from cryptography import x509

from proxy_gen.credential import Credential
from proxy_gen.errors import NameRefusedError, ProxyGenError, VerificationError
from proxy_gen.keys import KeyKind, load_private_key
from proxy_gen.name_rules import require_mintable
from proxy_gen.names import DistinguishedName
from proxy_gen.trust import TrustAnchors
from proxy_gen.verify import verify
from proxy_gen.voms.authority import AttributeAuthority
from proxy_gen.voms.fqan import Fqan
from proxy_gen.voms.policy_authority import PolicyAuthority, is_host
from proxy_gen.voms.vomsdir import VomsTrust
from ttscache.config.build_mapping import require_quotable
from ttscache.config.certificates import CertificateFileError, is_authority, read_certificates, require_authorities
from ttscache.config.document import Path
from ttscache.config.notes import Notes
from ttscache.config.secrets import SecretError, SecretReference, read_secret_file
from ttscache.config.settings import (
    AuthoritySettings,
    LocalAuthority,
    LocalVoms,
    ManagedProxyAuthority,
    OpenBaoAuthority,
    RemoteVoms,
    RobotAuthority,
)
from ttscache.net.urls import unsafe_url_reason

_MAX_LSC_BYTES = 64 * 1024


def authority(notes: Notes, path: Path, part: Mapping[str, Any]) -> AuthoritySettings:
    """Build the authority."""
    return _AUTHORITIES[part["kind"]](notes, path, part)


def voms(notes: Notes, path: Path, part: Mapping[str, Any]) -> LocalVoms | RemoteVoms:
    """Build an attribute authority."""
    vo = part.get("vo", str(path[-1]))
    if not is_vo(vo):
        notes.wrong((*path, "vo") if "vo" in part else path, f"'{ascii(vo)[1:-1]}' is no VO's name; say `vo`")
    lifetime = notes.seconds((*path, "lifetime"), part["lifetime"], at_least=60)
    return (_local_voms if part["kind"] == "local" else _remote_voms)(notes, path, part, vo, lifetime)


def _local(notes: Notes, path: Path, part: Mapping[str, Any]) -> LocalAuthority:
    subject = DistinguishedName.parse(part["subject"])
    require_mintable(subject)
    require_quotable(subject.slash)
    return LocalAuthority(
        directory=notes.directory / part["dir"],
        subject=subject,
        key=KeyKind(part["key"]),
        lifetime=notes.seconds((*path, "lifetime"), part["lifetime"], at_least=3600),
    )


def _openbao(notes: Notes, path: Path, part: Mapping[str, Any]) -> OpenBaoAuthority:
    _check_url(notes, (*path, "url"), part["url"])
    for key in ("mount", "role"):
        if {".", ".."} & set(part[key].split("/")):
            notes.wrong((*path, key), "must not lead elsewhere by . or ..")
    token = SecretReference.of(part["token"], notes.directory)
    with notes.noting((*path, "token")):
        token.read()
    ca_file = notes.directory / part["ca_file"] if "ca_file" in part else None
    if ca_file is not None:
        with notes.noting((*path, "ca_file")):
            require_authorities(ca_file)
    return OpenBaoAuthority(part["url"].rstrip("/"), part["mount"], part["role"], token, ca_file)


def _robot(notes: Notes, path: Path, part: Mapping[str, Any]) -> RobotAuthority:
    anchors, credential = _anchors(notes, path, part), _credential(notes, part)
    if anchors:
        _require_parent(credential, anchors)
    return RobotAuthority(credential, anchors)


def _require_parent(credential: Credential, anchors: tuple[x509.Certificate, ...]) -> None:
    """Refuse what no proxy can stand under. One that has expired is for the daemon to tell: it may be renewed."""
    last = credential.leaf.not_valid_after_utc - timedelta(seconds=1)
    moment = max(min(datetime.now(UTC), last), credential.leaf.not_valid_before_utc)
    try:
        limited = verify(credential.chain, TrustAnchors.of(anchors), moment).limited
    except VerificationError as error:
        raise CertificateFileError(f"`cert` is not trusted by the CAs of `ca_file` ({error.code}): {error}") from None
    if limited:
        raise CertificateFileError("`cert` is a limited proxy, under which no full one can stand")


def _managed(notes: Notes, path: Path, part: Mapping[str, Any]) -> ManagedProxyAuthority:
    return ManagedProxyAuthority(_anchors(notes, path, part))


_AUTHORITIES: Mapping[str, Callable[[Notes, Path, Mapping[str, Any]], AuthoritySettings]] = {
    "local": _local,
    "openbao": _openbao,
    "robot": _robot,
    "iam-proxycert": _managed,
}


def _local_voms(notes: Notes, path: Path, part: Mapping[str, Any], vo: str, lifetime: float) -> LocalVoms:
    credential = None
    if ("cert" in part) != ("key" in part):
        notes.wrong(path, "`cert` and `key` go together")
    elif "cert" in part:
        credential = _credential(notes, part)
        AttributeAuthority(credential, vo, part["host"], part["port"])  # which says what is unfit
    else:
        with notes.noting((*path, "host")):
            _require_certifiable(part["host"])
    return LocalVoms(vo, part["host"], part["port"], lifetime, credential)


def is_vo(text: str) -> bool:
    """Tell whether a text can be a VO's name: FQANs begin with it, and files of trust stand under it."""
    try:
        return Fqan.parse(f"/{text}").group == f"/{text}" and PolicyAuthority(text, "localhost", 1).vo == text
    except (ValueError, ProxyGenError):
        return False


def _require_certifiable(host: str) -> None:
    """Refuse a host that the local CA cannot certify, or whose name would mean something in its signing policy."""
    if not is_host(host):
        raise NameRefusedError("name_malformed", "must be a host's name, such as voms.example")
    require_mintable(DistinguishedName.parse(f"/CN={host}"))
    require_quotable(host)


def _remote_voms(notes: Notes, path: Path, part: Mapping[str, Any], vo: str, lifetime: float) -> RemoteVoms:
    _check_url(notes, (*path, "url"), part["url"])
    lsc = notes.noted((*path, "lsc"), lambda: _lsc(notes.directory / part["lsc"], vo), b"")
    anchors = _anchors(notes, path, part)
    host = part.get("host") or urlsplit(part["url"]).hostname or ""
    ca_file = notes.directory / part["ca_file"]
    return RemoteVoms(vo, part["url"].rstrip("/"), host, lifetime, lsc, ca_file, anchors)


def _check_url(notes: Notes, path: Path, url: str) -> None:
    reason = unsafe_url_reason(url)
    if reason is None and ("?" in url or "#" in url):
        reason = "must have no query and no fragment"
    if reason is not None:
        notes.wrong(path, reason)


def _lsc(file: FilePath, vo: str) -> bytes:
    try:
        content = file.read_bytes()[: _MAX_LSC_BYTES + 1]
    except OSError as error:
        raise CertificateFileError(f"{file} cannot be read: {error.strerror}") from None
    if not VomsTrust.from_files({f"{vo}/{file.stem}.lsc": content}).knows(vo):
        raise CertificateFileError(f"{file} names no certificate: it holds subject and issuer, a line each")
    return content


def _anchors(notes: Notes, path: Path, part: Mapping[str, Any]) -> tuple[x509.Certificate, ...]:
    return notes.noted((*path, "ca_file"), lambda: _authorities_of(notes.directory / part["ca_file"]), ())


def _authorities_of(file: FilePath) -> tuple[x509.Certificate, ...]:
    certificates = read_certificates(file)
    if not all(map(is_authority, certificates)):
        raise CertificateFileError(f"{file} holds a certificate that is no CA's")
    return certificates


def _credential(notes: Notes, part: Mapping[str, Any]) -> Credential:
    """Return a certificate with its key. Raises what a Notes expects."""
    key_file = notes.directory / part["key"]
    chain = read_certificates(notes.directory / part["cert"])
    pem = read_secret_file(key_file)
    if b"ENCRYPTED" in pem:
        raise SecretError(f"{key_file} is encrypted; nobody is there to type its passphrase")
    return Credential(chain, load_private_key(pem))
