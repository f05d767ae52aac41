"""A consumer of a time: what it fetched from /trust then, and what it makes of credentials."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from proxy_gen.credential import Credential
from proxy_gen.errors import VerificationError
from proxy_gen.trust import TrustAnchors
from proxy_gen.verify import verify
from proxy_gen.voms.verify import verify_attributes
from proxy_gen.voms.vomsdir import VomsTrust
from tests.broker.world import Told
from tests.tools import openssl


@dataclass(frozen=True)
class Consumer:
    """Its two directories; every CA needs its CRL."""

    directory: Path
    published: Told

    @classmethod
    def fetching(cls, directory: Path, published: Told) -> "Consumer":
        _write(directory / "certificates", published.files)
        _write(directory / "vomsdir", published.voms_files)
        return cls(directory, published)

    def takes(self, pem: bytes, moment: float) -> bool:
        """What OpenSSL and we agree on, or the test fails."""
        now = datetime.fromtimestamp(moment, UTC)
        trust = self.directory / "certificates"
        theirs = openssl.verify(pem, trust, strict=True, crl_check=True, now=now)
        assert self._verifies(pem, now) is theirs.ok, theirs
        return theirs.ok

    def _verifies(self, pem: bytes, now: datetime) -> bool:
        try:
            verify(Credential.parse(pem).chain, self._trust, now)
        except VerificationError:
            return False
        return True

    def attributes(self, pem: bytes, moment: float) -> dict[str, list[str]]:
        """Return the FQANs in it by VO, all verified."""
        chain, now = Credential.parse(pem).chain, datetime.fromtimestamp(moment, UTC)
        voms = VomsTrust.from_files(self.published.voms_files)
        found = verify_attributes(chain, verify(chain, self._trust, now), voms, self._trust, now)
        return {each.vo: [fqan.short for fqan in each.fqans] for each in found}

    @property
    def _trust(self) -> TrustAnchors:
        return TrustAnchors.from_files(self.published.files, require_crls=True)


def _write(directory: Path, files: Mapping[str, bytes]) -> None:
    for name, content in files.items():
        file = directory / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
