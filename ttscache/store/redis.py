"""The shared store: one Redis server for several replicas.

Keys stand in hash slots of their own by a tag, so that they would spread over a cluster; each script stays within one.
The server's clock ends lives and leases: it is the one clock that all replicas share.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import re
import secrets
import time
import zlib
from collections.abc import AsyncIterator, Callable
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from ttscache.errors import StoreUnavailableError
from ttscache.net.backoff import backoff
from ttscache.store.base import ConflictError, Lease, Record
from ttscache.store.redis_address import RedisAddress
from ttscache.store.redis_link import RedisLink
from ttscache.store.redis_scripts import ACQUIRE, DELETE, KEEP, PUT, RELEASE

_log = logging.getLogger(__name__)
_SLOTS = 256
# On a local network an answer takes a millisecond; a caller has some fifteen seconds in all.
_TIMEOUT = 3.0
# A lease lives so long on the server and is kept up from here as long as its holder wants it: when a replica dies,
# the others need not wait for the end of what it wanted. Longer than an event loop stalls under a herd.
_LEASE_LIFE = 8.0
LEASE_BEAT = 2.0
_SCAN_COUNT = 1000
_PAGE = 500
_GLOB = re.compile(r"([\\*?\[\]^-])")
# of a subscription's silence
_LISTEN_SECONDS = 5.0


class RedisStore:
    """A :class:`ttscache.store.base.Store` in a Redis server that evicts nothing."""

    def __init__(
        self,
        address: RedisAddress,
        clock: Callable[[], float],
        lease_clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Connects when it is first used."""
        self._client = _client(address)
        self._link = RedisLink(self._client)
        self._clock = clock
        self._lease_clock = lease_clock
        self._name = secrets.token_hex(8)
        self._channel = f"ttscache:changed:{address.database}"
        self._held: dict[str, tuple[Lease, float]] = {}
        self._watchers: list[Callable[[str | None], None]] = []
        self._background: dict[str, asyncio.Task[None]] = {}
        self._closed = False

    async def get(self, key: str) -> Record | None:
        """See Store."""
        return self._record(await self._link.call("HMGET", _record_key(key), "value", "version", "expires_at"))

    async def put(self, key: str, value: bytes, *, expires_at: float, if_version: int | None = None) -> int:
        """See Store."""
        now = self._clock()
        version = await self._link.script(
            PUT,
            [_record_key(key), _sequence_key(key)],
            value,
            repr(expires_at),
            _milliseconds(expires_at - now),
            "" if if_version is None else str(if_version),
            secrets.token_hex(8),
            repr(now),
            self._channel,
            self._announced(key),
        )
        if version == b"0":
            raise ConflictError(key)
        return int(version)

    async def delete(self, key: str) -> None:
        """See Store."""
        await self._link.script(DELETE, [_record_key(key)], self._channel, self._announced(key))

    async def scan(self, prefix: str, after: str = "") -> AsyncIterator[tuple[str, Record]]:
        """See Store. The keys are gathered first: the server has no order of them."""
        found = sorted(key for key in await self._keys(prefix) if key > after)
        for start in range(0, len(found), _PAGE):
            page = found[start : start + _PAGE]
            for key, record in zip(page, await asyncio.gather(*map(self.get, page)), strict=True):
                if record is not None:
                    yield key, record

    async def acquire(self, name: str, *, seconds: float) -> Lease | None:
        """See Store."""
        holder = f"{self._name}.{secrets.token_hex(4)}"
        ends_at = self._lease_clock() + seconds
        life = _milliseconds(min(seconds, _LEASE_LIFE))
        fence = int(await self._link.script(ACQUIRE, [_lease_key(name), _sequence_key(name)], holder, life))
        if fence == 0:
            return None
        lease = Lease(name, fence, holder, is_sole=False)
        self._held[holder] = lease, ends_at
        self._start("leases", self._keep_leases)
        return lease

    async def release(self, lease: Lease) -> None:
        """See Store."""
        self._held.pop(lease.holder, None)
        await self._link.script(RELEASE, [_lease_key(lease.name)], lease.holder)

    async def sweep(self) -> None:
        """See Store: the server does it by itself."""

    def watch(self, changed: Callable[[str | None], None]) -> None:
        """See Store."""
        self._watchers.append(changed)
        self._start("watch", self._listen)

    async def close(self) -> None:
        """See Store."""
        if self._closed:
            return
        self._closed = True
        for task in self._background.values():
            task.cancel()
        await asyncio.gather(*self._background.values(), return_exceptions=True)
        await self._link.close()

    async def keep_leases(self) -> None:
        """Prolong on the server what is still wanted of the leases that are held here."""
        now = self._lease_clock()
        self._held = {holder: held for holder, held in self._held.items() if held[1] > now}
        kept = [(lease, min(ends_at - now, _LEASE_LIFE)) for lease, ends_at in self._held.values()]
        await asyncio.gather(
            *(
                self._link.script(KEEP, [_lease_key(lease.name)], lease.holder, _milliseconds(left))
                for lease, left in kept
            )
        )

    def _record(self, found: list[bytes | None]) -> Record | None:
        value, version, expires_at = found
        if value is None or version is None or expires_at is None or float(expires_at) <= self._clock():
            return None
        return Record(value, int(version), float(expires_at))

    async def _keys(self, prefix: str) -> set[str]:
        pattern = "ttscache:{*}:record:" + _GLOB.sub(r"\\\1", prefix) + "*"
        found: set[str] = set()
        cursor = b"0"
        while True:
            cursor, page = await self._link.call("SCAN", cursor, "MATCH", pattern, "COUNT", _SCAN_COUNT)
            found.update(key.decode().partition(":record:")[2] for key in page)
            if int(cursor) == 0:
                return found

    def _announced(self, key: str) -> str:
        return json.dumps([self._name, key])

    def _start(self, name: str, work: Callable[[], Any]) -> None:
        task = self._background.get(name)
        if task is None or task.done():
            self._background[name] = asyncio.get_running_loop().create_task(work())

    async def _keep_leases(self) -> None:
        while self._held:
            await asyncio.sleep(LEASE_BEAT)
            with contextlib.suppress(StoreUnavailableError):  # those that are lost will meet a conflict
                await self.keep_leases()

    async def _listen(self) -> None:
        """Hear what others write. Whenever the subscription begins (again), anything may have been missed."""
        failures = 0
        while True:
            try:
                async with self._client.pubsub() as subscription:
                    await subscription.subscribe(self._channel)
                    self._tell(None)
                    failures = 0
                    while True:
                        await self._hear(subscription)
            except (RedisError, OSError, RuntimeError) as error:  # the last is uvloop's, of a closed connection
                failures += 1
                _log.warning("redis_unheard", extra={"reason": type(error).__name__})
                await asyncio.sleep(backoff(failures))

    async def _hear(self, subscription: Any) -> None:  # noqa: ANN401 - redis-py's is not typed
        message = await subscription.get_message(timeout=_LISTEN_SECONDS)
        if message is None:
            await subscription.ping()  # a connection that is dead without a word shows itself
        elif message["type"] == "message":
            writer, key = json.loads(message["data"])
            if writer != self._name:
                self._tell(key)

    def _tell(self, key: str | None) -> None:
        for changed in self._watchers:
            changed(key)


def _client(address: RedisAddress) -> Redis:
    options: dict[str, Any] = {}
    if address.tls:
        options = {"ssl": True, "ssl_ca_certs": None if address.ca_file is None else str(address.ca_file)}
    return Redis(
        host=address.host,
        port=address.port,
        db=address.database,
        username=address.user,
        password=address.password,
        socket_timeout=_TIMEOUT,
        socket_connect_timeout=_TIMEOUT,
        socket_keepalive=True,
        protocol=2,  # the third asks a server for more than it may know, and logs that it does not
        retry=Retry(NoBackoff(), 0),  # what is to be tried again is the link's to say
        **options,
    )


def _milliseconds(seconds: float) -> int:
    """Return for how long the server is told to keep a key: it does so through the last millisecond."""
    return int(seconds * 1000) - 1


def _slot(key: str) -> str:
    return f"ttscache:{{{zlib.crc32(key.encode()) % _SLOTS:02x}}}"


def _record_key(key: str) -> str:
    return f"{_slot(key)}:record:{key}"


def _lease_key(name: str) -> str:
    return f"{_slot(name)}:lease:{name}"


def _sequence_key(key: str) -> str:
    return f"{_slot(key)}:sequence"
