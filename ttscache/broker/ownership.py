"""Whose a DN is: the first identity that is given it owns it. Two people must never act under one name."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass

from proxy_gen.errors import NameRefusedError
from proxy_gen.names import DistinguishedName
from ttscache.broker.codec import decode_fields, encode_fields
from ttscache.broker.keys import OWNERS, owner_key
from ttscache.errors import DnRefusedError, RecordUnreadableError
from ttscache.mapping.export_names import KnownName
from ttscache.model import Decision, Identity
from ttscache.store.base import ABSENT, ConflictError, Store

# Longer than any trace of the name in a storage's ownership database would be disputed.
_KEEP_SECONDS = 10 * 365 * 86400.0
_MAX_IN_MEMORY = 10_000


@dataclass(frozen=True)
class _Owned:
    """A DN's owner, and by which rule and with which account he was last given it; None in records from before."""

    issuer: str
    subject: str
    dn: str | None = None
    rule: str | None = None
    account: str | None = None


class Owners:
    """The owners of DNs. Once known, an owner never changes, so it is kept in memory without being read again.

    ``reserved`` are the names that speak for the site itself, which no identity may have.
    """

    def __init__(self, store: Store, clock: Callable[[], float], reserved: Iterable[DistinguishedName] = ()) -> None:
        self._store = store
        self._clock = clock
        self._reserved = frozenset(name.canonical for name in reserved)
        self._known: OrderedDict[str, _Owned] = OrderedDict()

    async def require(self, decision: Decision, identity: Identity) -> None:
        """Let the identity have the decision's DN, making it the owner of one that has none.

        Raises :class:`DnRefusedError` when it is another's, and StoreUnavailableError.
        """
        if decision.dn is None:
            return
        if decision.shared:
            if self._reserved:
                self._canonical(decision.dn, decision)
            return
        claim = _Owned(identity.issuer, identity.subject, decision.dn, decision.rule, decision.account)
        owned = self._known.get(decision.dn)
        if owned == claim:
            return
        if owned is None or _owner(owned) == _owner(claim):
            owned = self._known[decision.dn] = await self._owned(self._canonical(decision.dn, decision), claim)
            if len(self._known) > _MAX_IN_MEMORY:
                self._known.popitem(last=False)
        if _owner(owned) != _owner(claim):
            raise DnRefusedError(
                f"the DN that rule '{decision.rule}' gives belongs to another identity already", decision.trace
            )

    def _canonical(self, dn: str, decision: Decision) -> bytes:
        """Return the canonical form, for OpenSSL takes names that differ in case or blanks only for the same."""
        try:
            canonical = DistinguishedName.parse(dn).canonical
        except NameRefusedError as error:  # one that was brought along may be anything
            raise DnRefusedError(f"the DN that rule '{decision.rule}' gives: {error}", decision.trace) from None
        if canonical in self._reserved:
            raise DnRefusedError(
                f"the DN that rule '{decision.rule}' gives is that of an authority of this site", decision.trace
            )
        return canonical

    async def _owned(self, canonical: bytes, claim: _Owned) -> _Owned:
        """Return what is kept of the DN, after writing the claim down if it has no owner but this one."""
        key = owner_key(canonical)
        while True:
            record = await self._store.get(key)
            kept = None if record is None else _decoded(record.value)
            if kept is not None and (kept == claim or _owner(kept) != _owner(claim)):
                return kept
            version = ABSENT if record is None else record.version
            try:
                await self._store.put(
                    key, encode_fields(asdict(claim)), expires_at=self._clock() + _KEEP_SECONDS, if_version=version
                )
            except ConflictError:
                continue
            return claim


async def known_names(store: Store) -> list[KnownName]:
    """Return the DNs that were given, as far as their records say. Raises StoreUnavailableError."""
    found = []
    async for _, record in store.scan(OWNERS):
        try:
            owned = _decoded(record.value)
        except RecordUnreadableError:
            continue
        if owned.dn is not None and owned.rule is not None:
            found.append(KnownName(owned.dn, owned.account, owned.rule))
    return found


def _decoded(value: bytes) -> _Owned:
    fields = decode_fields(value)
    return _Owned(fields["issuer"], fields["subject"], fields.get("dn"), fields.get("rule"), fields.get("account"))


def _owner(owned: _Owned) -> tuple[str, str]:
    return owned.issuer, owned.subject
