"""The VOMS attributes of a credential, as `ttscache inspect` shows and judges them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import click
from cryptography import x509

from proxy_gen.errors import AttributeCertificateError, ProxyGenError
from proxy_gen.trust import TrustAnchors
from proxy_gen.verify import VerifiedChain
from proxy_gen.voms.certificate import AttributeCertificate, attribute_certificates
from proxy_gen.voms.verify import verify_attributes
from proxy_gen.voms.vomsdir import VomsTrust, is_vomsdir_file
from ttscache.cli import options


def describe(chain: Sequence[x509.Certificate]) -> list[dict[str, Any]]:
    """Return what the attribute certificates of a chain say, as far as they can be read."""
    return [
        {
            "vo": each.vo,
            "fqans": [fqan.long for fqan in each.fqans],
            "attributes": [{"name": a.name, "value": a.value, "qualifier": a.qualifier} for a in each.attributes],
            "holder": each.holder_name.slash,
            "holder_serial": str(each.holder_serial),
            "issuer": each.issuer.slash,
            "uri": f"{each.host}:{each.port}",
            "serial": str(each.serial),
            "targets": None if each.targets is None else list(each.targets),
            "not_before": f"{each.not_before:%Y-%m-%dT%H:%M:%SZ}",
            "not_after": f"{each.not_after:%Y-%m-%dT%H:%M:%SZ}",
        }
        for each in _readable(chain)
    ]


def verdict(
    chain: Sequence[x509.Certificate],
    verified: VerifiedChain | None,
    vomsdir: Path | None,
    trust: TrustAnchors | None,
    now: datetime,
) -> dict[str, Any]:
    """Return whether the attributes hold: `attributes_verified`, and `attributes_reason` why not.

    ``verified`` and ``trust`` are None where the chain itself was not verified. Without a directory of whom to trust
    nothing but their times is looked at.
    """
    try:
        certificates = _held(chain)
        if not certificates:
            return _told(verified=False, valid=True, reason=None)
        if vomsdir is None or verified is None or trust is None:
            return _unverified(certificates, now)
        verify_attributes(chain, verified, _trusted(vomsdir), trust, now)
    except ProxyGenError as error:
        return _told(verified=False, valid=False, reason=f"{error.code}: {error}")
    return _told(verified=True, valid=True, reason=None)


def end_of(chain: Sequence[x509.Certificate]) -> datetime:
    """Return when the first of a chain and its attribute certificates ends."""
    return min([*(c.not_valid_after_utc for c in chain), *(each.not_after for each in _readable(chain))])


def show(report: dict[str, Any]) -> None:
    """Print what attribute certificates say, and the verdict on them."""
    for each in report["voms"]:
        options.show(f"{'VO':<11} : {each['vo']}, by {each['issuer']} ({each['uri']}), until {each['not_after']}")
        for fqan in each["fqans"]:
            options.show(f"{'attribute':<11} : {fqan}")
        for attribute in each["attributes"]:
            options.show(f"{'attribute':<11} : {attribute['name']} = {attribute['value']} ({attribute['qualifier']})")
        if each["targets"] is not None:
            options.show(f"{'targets':<11} : {' '.join(each['targets'])}")
    if report["attributes_verified"]:
        options.show(f"{'attributes':<11} : verified")
    elif report["attributes_reason"] is not None:
        options.show(f"{'attributes':<11} : not verified, {report['attributes_reason']}")


def _unverified(certificates: Sequence[AttributeCertificate], now: datetime) -> dict[str, Any]:
    if any(each.not_after <= now for each in certificates):
        return _told(verified=False, valid=False, reason="expired")
    reason = "that takes a verified chain (--certdir) and a VOMS trust directory (--vomsdir or X509_VOMS_DIR)"
    return _told(verified=False, valid=True, reason=reason)


def _told(*, verified: bool, valid: bool, reason: str | None) -> dict[str, Any]:
    return {"attributes_verified": verified, "attributes_valid": valid, "attributes_reason": reason}


def _trusted(directory: Path) -> VomsTrust:
    try:
        files = {str(file.relative_to(directory)): file for file in directory.glob("*/*") if file.is_file()}
        return VomsTrust.from_files({name: file.read_bytes() for name, file in files.items() if is_vomsdir_file(name)})
    except OSError as error:
        raise click.UsageError(f"the VOMS trust directory {directory} cannot be read: {error.strerror}") from None


def _held(chain: Sequence[x509.Certificate]) -> list[AttributeCertificate]:
    return [each for certificate in chain for each in attribute_certificates(certificate)]


def _readable(chain: Sequence[x509.Certificate]) -> list[AttributeCertificate]:
    try:
        return _held(chain)
    except AttributeCertificateError:
        return []  # told as the reason why they are not verified
