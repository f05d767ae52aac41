"""An attribute authority of our own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.x509.oid import NameOID

from proxy_gen.ca import CertificateAuthority
from proxy_gen.credential import Credential
from proxy_gen.errors import IssuanceError
from proxy_gen.keys import KeyKind, generate_key
from proxy_gen.names import DistinguishedName
from proxy_gen.voms.authority import AttributeAuthority
from proxy_gen.voms.certificate import AttributeCertificate
from proxy_gen.voms.fqan import Fqan
from proxy_gen.voms.vomsdir import lsc_file
from ttscache.authority.generations import Generations
from ttscache.broker.keys import digest, fingerprints
from ttscache.broker.orders import Parent
from ttscache.config.settings import LocalVoms
from ttscache.errors import SignerUnavailableError
from ttscache.net.deadline import Deadline

# An authority that the local CA certifies has a key for this process alone: nobody else needs it, for attribute
# certificates bring the signer's certificate along, and consumers know its name only.
_CERTIFICATE_LIFETIME = timedelta(days=30)
# All measured consumers take attribute certificates that RSA has signed.
_KEY = KeyKind.RSA_2048
# parts the chains in an `.lsc` file
_NEXT_CHAIN = b"------ NEXT CHAIN ------\n"


class LocalAttributes:
    """Signs for one VO: with a certificate from files, or with one that the local CA issues."""

    def __init__(self, settings: LocalVoms, generations: Generations | None, clock: Callable[[], float]) -> None:
        self.vo = settings.vo
        self.generation = _generation(settings)
        self._settings = settings
        self._generations = generations
        self._clock = clock
        self._current: AttributeAuthority | None = None
        self._making = asyncio.Lock()

    async def issue(
        self,
        parent: Parent,
        fqans: tuple[Fqan, ...],
        deadline: Deadline,  # noqa: ARG002 - it takes a millisecond
    ) -> AttributeCertificate:
        """See AttributeSource."""
        authority = await self._authority()
        now = datetime.fromtimestamp(int(self._clock()), UTC)
        lifetime = timedelta(seconds=self._settings.lifetime)
        try:
            return authority.issue(parent.end_entity, fqans, now=now, lifetime=lifetime)
        except IssuanceError as error:
            raise SignerUnavailableError(f"VO '{self._settings.vo}': {error}", retry_after=60.0) from None

    def files(self, authorities: tuple[CertificateAuthority, ...]) -> dict[str, bytes]:
        """Return its file of a VOMS trust directory, good whichever of the local CAs has certified it."""
        return {f"{self.vo}/{self._settings.host}.lsc": self._lsc(authorities)}

    def _lsc(self, authorities: tuple[CertificateAuthority, ...]) -> bytes:
        if self._settings.credential is not None:
            return lsc_file(self._made().chain)
        return _NEXT_CHAIN.join(
            f"{attribute_authority_name(ca, self._settings.host)}\n{ca.subject}\n".encode() for ca in authorities
        )

    async def _authority(self) -> AttributeAuthority:
        async with self._making:
            if self._current is None or not self._serves(self._current):
                self._current = await asyncio.to_thread(self._made)
            return self._current

    def _serves(self, authority: AttributeAuthority) -> bool:
        """Whether it is of the CA whose turn it is, with half of its life left."""
        if self._generations is None or self._settings.credential is not None:
            return True
        certificate = authority.certificate
        now = datetime.fromtimestamp(self._clock(), UTC)
        half = (
            certificate.not_valid_before_utc + (certificate.not_valid_after_utc - certificate.not_valid_before_utc) / 2
        )
        is_current = certificate.issuer == self._generations.issuing(self._clock()).certificate.subject
        return is_current and certificate.not_valid_before_utc <= now < half

    def _made(self) -> AttributeAuthority:
        credential = self._settings.credential or self._certified()
        return AttributeAuthority(credential, self._settings.vo, self._settings.host, self._settings.port)

    def _certified(self) -> Credential:
        if self._generations is None:
            raise TypeError("the configuration has a local CA, or a certificate")
        ca = self._generations.issuing(self._clock())
        key = generate_key(_KEY)
        now = datetime.fromtimestamp(int(self._clock()), UTC)
        name = attribute_authority_name(ca, self._settings.host)
        try:
            certificate = ca.issue_eec(name, key.public_key(), now=now, lifetime=_CERTIFICATE_LIFETIME)
        except IssuanceError as error:
            raise SignerUnavailableError(f"VO '{self._settings.vo}': {error}", retry_after=60.0) from None
        return Credential((certificate,), key)


def _generation(settings: LocalVoms) -> str:
    # with the local CA's own, the generation of what the proxies stand under changes
    signer = "" if settings.credential is None else fingerprints(settings.credential.chain)
    return digest(settings.vo, settings.host, str(settings.port), str(settings.lifetime), signer)


def attribute_authority_name(authority: CertificateAuthority, host: str) -> DistinguishedName:
    """Return the DN of an attribute authority that a CA certifies: CN=host beside the CA's own name."""
    rdn = x509.RelativeDistinguishedName([x509.NameAttribute(NameOID.COMMON_NAME, host)])
    return DistinguishedName(x509.Name([*authority.certificate.subject.rdns[:-1], rdn]))
