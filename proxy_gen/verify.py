"""Verification of proxy chains: RFC 3820 section 4 over RFC 5280 section 6, as strict as the strictest consumer.

What is accepted here, ``openssl verify -allow_proxy_certs -x509_strict`` accepts; the reverse does not hold.
A chain is a list, leaf first: proxies, the end-entity certificate (EEC), then optionally the CAs above it. The issuing
CA must itself be trusted: Globus and XRootD refuse a CA that is known from the file only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding

from proxy_gen.certificate_rules import (
    require_authority,
    require_client_use,
    require_end_entity,
    require_key_identifier,
    require_proxy,
    require_readable,
    require_sound,
    require_time,
)
from proxy_gen.credential import MAX_CHAIN
from proxy_gen.crl import crls_of, require_not_revoked
from proxy_gen.errors import CredentialFileError, VerificationError
from proxy_gen.names import DistinguishedName
from proxy_gen.pci import ProxyCertInfo, ProxyKind, proxy_cert_info
from proxy_gen.trust import Restrictions, TrustAnchors, subject_hash


@dataclass(frozen=True)
class VerifiedChain:
    """A chain that holds.

    ``identity`` is the name that consumers map: the EEC's subject, or that of the independent proxy nearest to the
    leaf, which inherits nothing (RFC 3820 section 3.8.2). It stands at ``identity_depth``; what is said above it says
    nothing of the holder. ``proxies`` are the kinds from the EEC down; ``limited`` is set when any of them is limited;
    the times are the narrowest of the whole path.
    """

    identity: DistinguishedName
    identity_depth: int
    end_entity: x509.Certificate
    anchor: x509.Certificate
    proxies: tuple[ProxyKind, ...]
    not_before: datetime
    not_after: datetime

    @property
    def limited(self) -> bool:
        """Whether the leaf has only limited rights."""
        return ProxyKind.LIMITED in self.proxies


def verify(
    chain: Sequence[x509.Certificate], trust: TrustAnchors, now: datetime, *, as_client: bool = True
) -> VerifiedChain:
    """Verify a chain, leaf first, at ``now`` (aware): by itself, by the CAs' CRLs, and by what the CAs may sign.

    ``as_client`` asks of the extended key usages, where there are any, what TLS servers ask of their clients'.
    Raises :class:`VerificationError` with a stable code and the depth of the certificate at fault.
    """
    infos = _proxies_above_end_entity(chain)
    depth_of_eec = len(infos)
    authorities = _path_to_root(chain, depth_of_eec, trust, now)
    path = [*chain[: depth_of_eec + 1], *authorities]
    _require_nothing_else(chain, path)
    _check_path(path, infos, now)
    if as_client:
        for depth, certificate in enumerate(path):
            require_client_use(certificate, depth)
    _check_restrictions(path, depth_of_eec, trust, now)
    independent = (depth for depth, info in enumerate(infos) if info.kind is ProxyKind.INDEPENDENT)
    identity_depth = next(independent, depth_of_eec)
    return VerifiedChain(
        identity=DistinguishedName(chain[identity_depth].subject),
        identity_depth=identity_depth,
        end_entity=chain[depth_of_eec],
        anchor=path[-1],
        proxies=tuple(info.kind for info in reversed(infos) if info.kind is not None),
        not_before=max(certificate.not_valid_before_utc for certificate in path),
        not_after=min(certificate.not_valid_after_utc for certificate in path),
    )


def verify_proxies(chain: Sequence[x509.Certificate], now: datetime) -> None:
    """Verify what needs nobody's trust: the proxies of a chain, leaf first, down from its end-entity certificate.

    Raises as :func:`verify`. That it raises nothing says nothing of who signed the end-entity certificate.
    """
    infos = _proxies_above_end_entity(chain)
    end_entity = chain[len(infos)]
    require_sound(end_entity, len(infos))
    require_time(end_entity, len(infos), now)
    require_end_entity(end_entity, len(infos))
    for depth in range(len(infos) - 1, -1, -1):
        _check_proxy(chain[depth], chain[depth + 1], infos, depth, now)


def _proxies_above_end_entity(chain: Sequence[x509.Certificate]) -> list[ProxyCertInfo]:
    """Return the ProxyCertInfos of the proxies, leaf first, of a chain that has an end entity behind them."""
    if not chain:
        raise VerificationError("chain_empty", 0, "no certificate is in the chain")
    if len(chain) > MAX_CHAIN:
        raise VerificationError("chain_too_long", MAX_CHAIN, f"the chain has more than {MAX_CHAIN} certificates")
    for depth, certificate in enumerate(chain):
        require_readable(certificate, depth)
    _require_no_duplicates(chain)
    infos = _leading_proxies(chain)
    if len(infos) == len(chain):
        raise VerificationError("chain_incomplete", len(infos) - 1, "the proxy's end-entity certificate is missing")
    return infos


def _require_no_duplicates(chain: Sequence[x509.Certificate]) -> None:
    seen: set[x509.Certificate] = set()
    for depth, certificate in enumerate(chain):
        if certificate in seen:
            raise VerificationError("chain_duplicate", depth, "a certificate is in the chain twice; XRootD refuses it")
        seen.add(certificate)


def _leading_proxies(chain: Sequence[x509.Certificate]) -> list[ProxyCertInfo]:
    """Return the ProxyCertInfos of the proxies at the chain's beginning, leaf first."""
    infos = []
    for depth, certificate in enumerate(chain):
        try:
            info = proxy_cert_info(certificate)
        except ValueError:
            raise VerificationError(
                "extension_malformed", depth, "the certificate's extensions are malformed"
            ) from None
        if info is None:
            break
        infos.append(info)
    return infos


def _path_to_root(
    chain: Sequence[x509.Certificate], depth: int, trust: TrustAnchors, now: datetime
) -> list[x509.Certificate]:
    """Return the trusted CAs above the EEC at ``depth``, up to a self-signed one."""
    path: list[x509.Certificate] = []
    certificate = chain[depth]
    while not path or path[-1].issuer != path[-1].subject:
        candidates = trust.issuers_of(certificate)
        if not candidates and (file := trust.malformed.get(subject_hash(certificate.issuer))):
            raise VerificationError("trust_malformed", depth + len(path), f"{file} holds no PEM certificate")
        if not candidates:
            raise VerificationError(
                "untrusted", depth + len(path), "the issuer is not among the trusted CAs: " + _issuer(certificate)
            )
        if depth + len(path) >= MAX_CHAIN:
            raise VerificationError("chain_too_long", MAX_CHAIN, "the CAs' chain has no self-signed end")
        signers = [c for c in candidates if _signature_holds(certificate, c)] or candidates
        # a CA that was renewed with its key is there twice for a while
        certificate = next((c for c in signers if c.not_valid_before_utc <= now < c.not_valid_after_utc), signers[0])
        path.append(certificate)
    return path


def _require_nothing_else(chain: Sequence[x509.Certificate], path: Sequence[x509.Certificate]) -> None:
    """What stands behind the EEC may only be what the path has there anyway."""
    for depth, certificate in enumerate(chain):
        if certificate not in path:
            raise VerificationError("chain_surplus", depth, "the certificate does not belong to the chain")


def _check_path(path: Sequence[x509.Certificate], infos: Sequence[ProxyCertInfo], now: datetime) -> None:
    """Check the whole path from the anchor down, so that the fault nearest to the root is the one told."""
    depth_of_eec = len(infos)
    for depth in range(len(path) - 1, -1, -1):
        certificate = path[depth]
        issuer = path[min(depth + 1, len(path) - 1)]
        if depth < depth_of_eec:
            _check_proxy(certificate, issuer, infos, depth, now)
            continue
        _check_any(certificate, issuer, depth, now)
        if depth > depth_of_eec:
            require_authority(certificate, depth, authorities_below=depth - depth_of_eec - 1)
        else:
            require_end_entity(certificate, depth)


def _check_any(certificate: x509.Certificate, issuer: x509.Certificate, depth: int, now: datetime) -> None:
    require_sound(certificate, depth)
    require_time(certificate, depth, now)
    _require_signed_by(certificate, issuer, depth)
    require_key_identifier(certificate, issuer, depth)


def _check_proxy(
    certificate: x509.Certificate,
    issuer: x509.Certificate,
    infos: Sequence[ProxyCertInfo],
    depth: int,
    now: datetime,
) -> None:
    _check_any(certificate, issuer, depth, now)
    require_proxy(certificate, issuer, infos[depth], depth)
    _require_policy_chain(infos, depth)


def _check_restrictions(
    path: Sequence[x509.Certificate], depth_of_eec: int, trust: TrustAnchors, now: datetime
) -> None:
    """What the trust directory says of each certificate above the proxies: its name, and whether it is revoked.

    Proxies are never revoked. A CA may revoke itself; nobody needs to permit its name.
    """
    for depth in range(depth_of_eec, len(path)):
        certificate, issuer = path[depth], path[min(depth + 1, len(path) - 1)]
        restrictions = trust.restrictions_of(issuer)
        try:
            if restrictions is not None and certificate.subject != certificate.issuer:
                _require_permitted(certificate, restrictions, depth)
            crls = crls_of(issuer, restrictions.crls) if restrictions is not None else []
        except CredentialFileError as error:
            raise VerificationError(error.code, depth, str(error)) from None
        if crls:
            require_not_revoked(certificate, issuer, crls, depth, now)
        elif trust.require_crls:
            raise VerificationError("crl_missing", depth, "no CRL of the issuer is there: " + _issuer(certificate))


def _require_permitted(certificate: x509.Certificate, restrictions: Restrictions, depth: int) -> None:
    issuer, subject = _issuer(certificate), DistinguishedName(certificate.subject).slash
    if restrictions.signing_policy is None:
        file = f"{subject_hash(certificate.issuer)}.signing_policy"
        raise VerificationError(
            "signing_policy_missing", depth, f"{file} is not in the trust directory; Globus refuses the CA without it"
        )
    if not restrictions.signing_policy.permits(issuer, subject):
        raise VerificationError("signing_policy", depth, f"the CA's signing policy does not permit {subject}")
    if restrictions.namespaces is not None and not restrictions.namespaces.permits(issuer, subject):
        raise VerificationError("namespaces", depth, f"the CA's namespaces do not permit {subject}")


def _require_policy_chain(infos: Sequence[ProxyCertInfo], depth: int) -> None:
    """RFC 3820 section 4.1.3 (path lengths), and Globus's rule that limited stays limited."""
    for above in range(depth + 1, len(infos)):
        allowed = infos[above].path_length
        # a path length of its own must fit in as well: RFC 3820 would let the lesser prevail, OpenSSL refuses
        asked = above - depth + (infos[depth].path_length or 0)
        if allowed is not None and asked > allowed:
            raise VerificationError(
                "proxy_path_length", depth, f"the proxy at depth {above} allows {allowed} proxies below it"
            )
    parent = infos[depth + 1].kind if depth + 1 < len(infos) else None
    if parent is ProxyKind.LIMITED and infos[depth].kind is not ProxyKind.LIMITED:
        raise VerificationError("limited", depth, "below a limited proxy only limited proxies may stand")


def _require_signed_by(certificate: x509.Certificate, issuer: x509.Certificate, depth: int) -> None:
    if certificate.issuer.public_bytes() != issuer.subject.public_bytes():
        raise VerificationError(
            "issuer_mismatch", depth, "the next certificate is not the issuer's: " + _issuer(certificate)
        )
    if not _signature_holds(certificate, issuer):
        raise VerificationError("signature", depth, "the signature does not hold with the issuer's key")


def _signature_holds(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    if certificate.public_bytes(Encoding.DER)[-len(certificate.signature) - 1] != 0:
        return False  # a bit string that claims unused bits, which OpenSSL does not take for a signature
    try:
        certificate.verify_directly_issued_by(issuer)
    except (InvalidSignature, ValueError, TypeError, UnsupportedAlgorithm):
        return False
    return True


def _issuer(certificate: x509.Certificate) -> str:
    return DistinguishedName(certificate.issuer).slash
