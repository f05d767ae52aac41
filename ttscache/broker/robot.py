"""A certificate from elsewhere, such as an IGTF robot's: all proxies stand under it."""

from __future__ import annotations

from collections.abc import Mapping

from cryptography.hazmat.primitives import hashes

from proxy_gen.credential import Credential
from proxy_gen.keys import SubjectKey, public_der
from ttscache.broker.orders import MintingOrder, Parent
from ttscache.net.deadline import Deadline


class RobotParents:
    """The one parent, out of files; it is never stored."""

    def __init__(self, credential: Credential) -> None:
        if credential.key is None:
            raise TypeError("the configuration was checked for a key")
        self._parent = Parent(credential.chain, credential.key)
        self._own_key = public_der(credential.key.public_key())
        self.generation = credential.leaf.fingerprint(hashes.SHA256()).hex()

    @property
    def issuer(self) -> str:
        """See Parents."""
        return self._parent.issuer

    def limits(self) -> Mapping[str, float]:
        """See Parents."""
        return {"robot": self._parent.ends_at}

    def owns(self, key: SubjectKey) -> bool:
        """See Parents."""
        return key.der == self._own_key

    async def parent(self, order: MintingOrder, deadline: Deadline) -> Parent:  # noqa: ARG002 - there is only one
        """See Parents."""
        return self._parent

    async def drain(self) -> None:
        """See Parents."""
