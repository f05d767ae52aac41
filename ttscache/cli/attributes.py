"""The VOMS attributes of a credential, as `ttscache inspect` shows and judges them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from cryptography import x509

from proxy_gen.errors import AttributeCertificateError, VerificationError
from proxy_gen.verify import VerifiedChain
from proxy_gen.voms.certificate import AttributeCertificate, attribute_certificates
from proxy_gen.voms.verify import verify_attributes, verify_holder_and_time
from ttscache.cli import options
from ttscache.cli.trusted import Trusted


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
    end_entity: x509.Certificate,
    verified: VerifiedChain | None,
    trusted: Trusted,
    now: datetime,
) -> dict[str, Any]:
    """Return whether the attributes hold: `attributes_verified`, and `attributes_reason` why not.

    ``verified`` is None where the chain itself was not verified. Without directories of whom to trust nothing but the
    holder and the times are looked at.
    """
    try:
        held = verify_holder_and_time(chain, end_entity, now)
        if not held:
            return _told(verified=False, valid=True, reason=None)
        if trusted.voms is None or verified is None or trusted.anchors is None:
            reason = "that takes a verified chain (--certdir) and a VOMS trust directory (--vomsdir or X509_VOMS_DIR)"
            return _told(verified=False, valid=True, reason=reason)
        verify_attributes(chain, verified, trusted.voms, trusted.anchors, now, host=trusted.host)
    except VerificationError as error:
        return _told(verified=False, valid=False, reason=f"{error.code} at depth {error.depth}: {error}")
    return _told(verified=True, valid=True, reason=None)


def end_of(chain: Sequence[x509.Certificate], counting: Sequence[x509.Certificate]) -> datetime:
    """Return when the first of a chain and of the attribute certificates that count ends."""
    return min([*(c.not_valid_after_utc for c in chain), *(each.not_after for each in _readable(counting))])


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


def _told(*, verified: bool, valid: bool, reason: str | None) -> dict[str, Any]:
    return {"attributes_verified": verified, "attributes_valid": valid, "attributes_reason": reason}


def _readable(chain: Sequence[x509.Certificate]) -> list[AttributeCertificate]:
    try:
        return [each for certificate in chain for each in attribute_certificates(certificate)]
    except AttributeCertificateError:
        return []  # told as the reason why they are not verified
