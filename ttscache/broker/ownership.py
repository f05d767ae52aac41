"""Whose a DN is: the first identity that is given it owns it. Two people must never act under one name."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

from proxy_gen.names import DistinguishedName
from ttscache.broker.codec import decode_fields, encode_fields
from ttscache.broker.keys import owner_key
from ttscache.errors import DnRefusedError
from ttscache.model import Decision, Identity
from ttscache.store.base import ABSENT, ConflictError, Store

# Longer than any trace of the name in a storage's ownership database would be disputed.
_KEEP_SECONDS = 10 * 365 * 86400.0
_MAX_IN_MEMORY = 50_000


class Owners:
    """The owners of DNs. Once known, an owner never changes, so it is kept in memory without being read again."""

    def __init__(self, store: Store, clock: Callable[[], float]) -> None:
        self._store = store
        self._clock = clock
        self._known: OrderedDict[str, tuple[str, str]] = OrderedDict()

    async def require(self, decision: Decision, identity: Identity) -> None:
        """Let the identity have the decision's DN, making it the owner of one that has none.

        Raises :class:`DnRefusedError` when it is another's, and StoreUnavailableError.
        """
        if decision.shared:
            return
        owner = self._known.get(decision.dn)
        if owner is None:
            owner = await self._owner(decision.dn, identity)
            self._known[decision.dn] = owner
            if len(self._known) > _MAX_IN_MEMORY:
                self._known.popitem(last=False)
        if owner != (identity.issuer, identity.subject):
            raise DnRefusedError(
                f"the DN that rule '{decision.rule}' gives belongs to another identity already", decision.trace
            )

    async def _owner(self, dn: str, identity: Identity) -> tuple[str, str]:
        # the canonical form, for OpenSSL takes names that differ in case or blanks only for the same
        key = owner_key(DistinguishedName.parse(dn).canonical)
        while True:
            record = await self._store.get(key)
            if record is not None:
                fields = decode_fields(record.value)
                return fields["issuer"], fields["subject"]
            claim = encode_fields({"issuer": identity.issuer, "subject": identity.subject})
            try:
                await self._store.put(key, claim, expires_at=self._clock() + _KEEP_SECONDS, if_version=ABSENT)
            except ConflictError:
                continue
            return identity.issuer, identity.subject
