"""Our own verification, asked as the others are."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509

from proxy_gen.credential import Credential
from proxy_gen.errors import ProxyGenError
from proxy_gen.trust import TrustAnchors
from proxy_gen.verify import VerifiedChain, verify
from proxy_gen.voms.verify import verify_attributes
from proxy_gen.voms.vomsdir import VomsTrust
from tests.tools.programs import Verdict

# a code, or the list of what is there instead
REFUSAL = r"^(?:[a-z0-9_]+: |\[)"


class Library:
    """`proxy_gen` with a trust directory and a VOMS directory."""

    def __init__(self, trust_dir: Path, voms_dir: Path) -> None:
        self._trust = TrustAnchors.from_files({file.name: file.read_bytes() for file in trust_dir.iterdir()})
        files = (file for file in voms_dir.rglob("*") if file.is_file())
        self._voms = VomsTrust.from_files({str(file.relative_to(voms_dir)): file.read_bytes() for file in files})

    def takes(self, pem: bytes) -> Verdict:
        """Verify the chain."""
        try:
            return Verdict(ok=True, text=str(self._verified(Credential.parse(pem).chain)))
        except ProxyGenError as error:
            return Verdict(ok=False, text=f"{error.code}: {error}")

    def finds(self, fqan: str, pem: bytes) -> Verdict:
        """Verify the chain and its attribute certificates, and look for an FQAN in its short form."""
        try:
            chain = Credential.parse(pem).chain
            now = datetime.now(UTC)
            found = verify_attributes(chain, self._verified(chain), self._voms, self._trust, now, host="localhost")
        except ProxyGenError as error:
            return Verdict(ok=False, text=f"{error.code}: {error}")
        fqans = [each.short for ac in found for each in ac.fqans]
        return Verdict(fqan in fqans, str(fqans))

    def _verified(self, chain: Sequence[x509.Certificate]) -> VerifiedChain:
        return verify(chain, self._trust, datetime.now(UTC))
