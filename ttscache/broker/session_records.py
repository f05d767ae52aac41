"""The sessions' records: as last read from the store, and for how long they are relied on unread."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from ttscache.broker.codec import decode_session, encode_session
from ttscache.broker.keys import SESSIONS
from ttscache.errors import StoreUnavailableError
from ttscache.model import Session
from ttscache.store.base import ABSENT, Store

# How long what another process may have changed is relied upon unread.
_REREAD_SECONDS = 1.0
_KEEP_ENDED_SECONDS = 86400.0
_MAX_IN_MEMORY = 10_000


@dataclass(slots=True)
class Held:
    """A session as last read, with its version in the store; ``read_at`` is monotonic, ``asked_at`` POSIX seconds."""

    session: Session | None
    version: int
    read_at: float
    asked_at: float = 0.0


class SessionRecords:
    """The sessions that this process has to do with, over a store that others may share."""

    def __init__(self, store: Store, clock: Callable[[], float], *, stale_for: float) -> None:
        self._store = store
        self._clock = clock
        self.stale_for = stale_for
        self._held: OrderedDict[str, Held] = OrderedDict()
        # grows whenever anything is learnt of any session
        self.changes = 0
        store.watch(self._changed)  # as long as there is the store

    def held(self) -> list[Session]:
        """Return the sessions that are in memory."""
        return [held.session for held in self._held.values() if held.session is not None]

    def last(self, key: str) -> Session | None:
        """Return what was read last of a session, if it is in memory."""
        held = self._held.get(key)
        return None if held is None else held.session

    async def read(self, key: str) -> Session | None:
        """Return what is known of a session, read again from the store when that was a while ago."""
        now = time.monotonic()
        held = self._held.get(key)
        if held is not None and now - held.read_at < _REREAD_SECONDS:
            return held.session
        try:
            return (await self.fetch(key)).session
        except StoreUnavailableError:
            if held is None or now - held.read_at > self.stale_for:
                raise
            return held.session

    async def require_read(self, key: str) -> Held:
        """Return the store's word of a moment ago: nothing new is minted upon what is merely remembered."""
        held = self._held.get(key)
        if held is None or time.monotonic() - held.read_at >= _REREAD_SECONDS:
            return await self.fetch(key)
        return held

    async def fetch(self, key: str) -> Held:
        """Return the store's word of now."""
        record = await self._store.get(key)
        if record is None:
            return self._hold(key, None, ABSENT)
        return self._hold(key, decode_session(record.value), record.version)

    async def save(self, key: str, session: Session, version: int) -> Held:
        """Write a session in the place of ``version``. Raises ConflictError."""
        expires_at = max(session.ends_at, self._clock() + _KEEP_ENDED_SECONDS)
        written = await self._store.put(key, encode_session(session), expires_at=expires_at, if_version=version)
        return self._hold(key, session, written)

    def note_asked(self, key: str) -> None:
        """Note that somebody asks for this session now."""
        if (held := self._held.get(key)) is not None:
            held.asked_at = self._clock()

    def asked_at(self, key: str) -> float:
        """Return when somebody last asked for it here, in POSIX seconds; 0 where nobody did."""
        held = self._held.get(key)
        return 0.0 if held is None else held.asked_at

    def _changed(self, key: str | None) -> None:
        if key is None:
            for held in self._held.values():
                held.read_at = min(held.read_at, time.monotonic() - _REREAD_SECONDS)
        elif key.startswith(SESSIONS) and (known := self._held.get(key)) is not None:
            known.read_at = min(known.read_at, time.monotonic() - _REREAD_SECONDS)
        else:
            return
        self.changes += 1

    def _hold(self, key: str, session: Session | None, version: int) -> Held:
        previous = self._held.get(key)
        if previous is None or previous.session != session:
            self.changes += 1
        asked_at = 0.0 if previous is None else previous.asked_at
        held = self._held[key] = Held(session, version, time.monotonic(), asked_at)
        self._held.move_to_end(key)
        if len(self._held) > _MAX_IN_MEMORY:
            self._held.popitem(last=False)
        return held
