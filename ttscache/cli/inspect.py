"""`ttscache inspect`: what a credential file holds, and whether it is good."""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from proxy_gen.credential import MAX_FILE_BYTES, Credential
from proxy_gen.errors import CredentialFileError, VerificationError
from proxy_gen.names import DistinguishedName
from proxy_gen.pci import ProxyKind, proxy_cert_info
from proxy_gen.trust import TrustAnchors
from proxy_gen.verify import VerifiedChain, verify, verify_proxies
from ttscache.cli import attributes, options, trusted
from ttscache.cli.exits import EXIT_INVALID

_KIND_NAMES = {ProxyKind.FULL: "full", ProxyKind.LIMITED: "limited", ProxyKind.INDEPENDENT: "independent"}


@click.command("inspect")
@click.argument("file", type=options.FILE)
@click.option(
    "--certdir",
    type=options.DIRECTORY,
    envvar="X509_CERT_DIR",
    show_envvar=True,
    help="Trust directory to verify against.",
)
@click.option(
    "--vomsdir",
    type=options.DIRECTORY,
    envvar="X509_VOMS_DIR",
    show_envvar=True,
    help="VOMS trust directory to verify attributes against.",
)
@click.option("--host", metavar="NAME", help="Who asks: for attributes that are for some hosts only.")
@click.option("--require-crls", is_flag=True, help="Refuse a chain when the directory lacks a CRL of one of its CAs.")
@options.output_format
def command(
    file: Path, certdir: Path | None, vomsdir: Path | None, host: str | None, require_crls: bool, output_format: str
) -> int:
    """Show the credential in FILE: chain, types, lifetimes, VOMS attributes, and whether it verifies.

    Exit status 5 when it is invalid or expired.
    """
    if require_crls and certdir is None:
        raise click.UsageError("--require-crls asks of a trust directory: give --certdir or X509_CERT_DIR")
    now = datetime.now(UTC)
    content, mode = _read(file)
    credential = Credential.parse(content)
    whom = trusted.Trusted(
        anchors=None if certdir is None else trusted.anchors(certdir, require_crls=require_crls),
        voms=None if vomsdir is None else trusted.voms_authorities(vomsdir),
        host=host,
    )
    verified, chain_verdict = _verdict(credential, whom.anchors, now)
    report = describe(credential, now) | {"file": str(file)} | _custody(credential, mode) | chain_verdict
    report |= attributes.verdict(_said_of_holder(credential), _end_entity(credential), verified, whom, now)
    report["valid"] = chain_verdict["valid"] and report["attributes_valid"]
    if output_format == "json":
        options.show_json(report)
    else:
        _show(report)
    return 0 if report["valid"] else EXIT_INVALID


def describe(credential: Credential, now: datetime) -> dict[str, Any]:
    """Return what a credential holds; nothing secret."""
    leaf = credential.leaf
    counting = _said_of_holder(credential)
    not_after = attributes.end_of(credential.chain, counting)
    return {
        "subject": DistinguishedName(leaf.subject).slash,
        "issuer": DistinguishedName(leaf.issuer).slash,
        "identity": DistinguishedName(counting[-1].subject).slash,
        "type": _type(leaf),
        "key": _key_name(leaf),
        "private_key": credential.key is not None,
        "not_after": f"{not_after:%Y-%m-%dT%H:%M:%SZ}",
        "seconds_left": max(0, int((not_after - now).total_seconds())),
        "chain": [
            {
                "subject": DistinguishedName(certificate.subject).slash,
                "type": _type(certificate),
                "key": _key_name(certificate),
                "serial": str(certificate.serial_number),
                "not_before": f"{certificate.not_valid_before_utc:%Y-%m-%dT%H:%M:%SZ}",
                "not_after": f"{certificate.not_valid_after_utc:%Y-%m-%dT%H:%M:%SZ}",
            }
            for certificate in credential.chain
        ],
        "voms": attributes.describe(counting),
    }


def _read(file: Path) -> tuple[bytes, int]:
    """Return content and mode. Raises CredentialFileError: a file that cannot be read is no valid credential."""
    try:
        with file.open("rb") as stream:
            return stream.read(MAX_FILE_BYTES + 1), stat.S_IMODE(os.fstat(stream.fileno()).st_mode)
    except OSError as error:
        raise CredentialFileError("credential_unreadable", f"{file}: {error.strerror}") from None


def _custody(credential: Credential, mode: int) -> dict[str, Any]:
    """Return the file's mode, and what is to be warned of: it says nothing against the credential itself."""
    told = f"{mode:04o}"
    is_open = credential.key is not None and mode & (stat.S_IRWXG | stat.S_IRWXO)
    warning = f"the private key is open to group or others (mode {told}); Globus refuses such a file: chmod 600"
    return {"mode": told, "warnings": [warning] if is_open else []}


def _said_of_holder(credential: Credential) -> Sequence[x509.Certificate]:
    """Return the chain from the leaf to the certificate that consumers map, which is the last.

    It is the first that is no proxy, or an independent proxy: what is said above it is said of somebody else.
    """
    chain = credential.chain
    last = next((depth for depth, c in enumerate(chain) if _has_own_name(c)), len(chain) - 1)
    return chain[: last + 1]


def _end_entity(credential: Credential) -> x509.Certificate:
    return next((c for c in credential.chain if not _is_proxy(c)), credential.chain[-1])


def _has_own_name(certificate: x509.Certificate) -> bool:
    try:
        info = proxy_cert_info(certificate)
    except ValueError:
        return False  # malformed, but meant as a proxy
    return info is None or info.kind is ProxyKind.INDEPENDENT


def _is_proxy(certificate: x509.Certificate) -> bool:
    try:
        return proxy_cert_info(certificate) is not None
    except ValueError:
        return True  # malformed, but meant as one


def _type(certificate: x509.Certificate) -> str:
    try:
        info = proxy_cert_info(certificate)
    except ValueError:
        return "malformed proxy"
    if info is not None:
        kind = "proxy of unknown policy" if info.kind is None else f"RFC 3820 {_KIND_NAMES[info.kind]} proxy"
        return kind if info.path_length is None else f"{kind}, path length {info.path_length}"
    try:
        is_authority = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except (x509.ExtensionNotFound, ValueError):
        is_authority = False
    return "CA" if is_authority else "end-entity certificate"


def _key_name(certificate: x509.Certificate) -> str:
    key = certificate.public_key()
    if isinstance(key, rsa.RSAPublicKey):
        return f"RSA {key.key_size}"
    return f"EC {key.curve.name}" if isinstance(key, ec.EllipticCurvePublicKey) else type(key).__name__.strip("_")


def _verdict(
    credential: Credential, trust: TrustAnchors | None, now: datetime
) -> tuple[VerifiedChain | None, dict[str, Any]]:
    try:
        if trust is None:
            return None, _unverified(credential, now)
        chain = verify(credential.chain, trust, now)
    except VerificationError as error:
        reason = f"{error.code} at depth {error.depth}: {error}"
        return None, {"verified": False, "valid": False, "reason": reason}
    anchor = DistinguishedName(chain.anchor.subject).slash
    return chain, {"verified": True, "valid": True, "reason": None, "anchor": anchor}


def _unverified(credential: Credential, now: datetime) -> dict[str, Any]:
    """Return what can be said without anybody's trust. Raises VerificationError."""
    verify_proxies(credential.chain, now)
    wrong = _wrong_time(credential, now)  # of what stands behind the end entity
    reason = wrong or "no trust directory was given (--certdir or X509_CERT_DIR)"
    return {"verified": False, "valid": wrong is None, "reason": reason}


def _wrong_time(credential: Credential, now: datetime) -> str | None:
    if any(certificate.not_valid_after_utc <= now for certificate in credential.chain):
        return "expired"
    early = any(certificate.not_valid_before_utc > now for certificate in credential.chain)
    return "not valid yet" if early else None


def _show(report: dict[str, Any]) -> None:
    hours, rest = divmod(report["seconds_left"], 3600)
    for name, value in (
        ("subject", report["subject"]),
        ("issuer", report["issuer"]),
        ("identity", report["identity"]),
        ("type", report["type"]),
        ("strength", report["key"]),
        ("key in file", "yes" if report["private_key"] else "no"),
        ("path", report["file"]),
        ("timeleft", f"{hours}:{rest // 60:02}:{rest % 60:02}  (until {report['not_after']})"),
    ):
        options.show(f"{name:<11} : {value}")
    for depth, certificate in enumerate(report["chain"]):
        options.show(f"chain {depth:<5} : {certificate['subject']}")
        options.show(f"{'':<11} : {certificate['type']}, {certificate['key']}, until {certificate['not_after']}")
    if report["verified"]:
        options.show(f"verified    : yes, by {report['anchor']}")
    else:
        options.show(f"verified    : no, {report['reason']}")
    attributes.show(report)
    for warning in report["warnings"]:
        options.show(f"{'warning':<11} : {warning}")
