"""The way to a Redis server: commands of many callers in one pipeline, and a circuit around it.

Callers never touch the connection: they wait for a future that one task fills. So a caller that goes away leaves no
answer unread for the next one to find, and what many ask at once costs one round trip.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Sequence
from typing import Any, TypeAlias

from redis.asyncio import Redis
from redis.exceptions import BusyLoadingError, MasterDownError, NoScriptError, ReadOnlyError, RedisError
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from ttscache.errors import StoreMisconfiguredError, StoreUnavailableError
from ttscache.net.backoff import backoff
from ttscache.store.redis_scripts import Script

_log = logging.getLogger(__name__)
_Word: TypeAlias = bytes | str | int | float
# Enough to hide the round trip; no more, for the first of them waits for the last.
_BATCH = 256
# What waits beyond this would be answered too late to be of use.
_MAX_WAITING = 50_000
_RETRY_SECONDS = 2.0
# with any other a server that is short of memory would forget sessions, or that somebody was revoked
_POLICY = "noeviction"

# uvloop says RuntimeError of a connection that has just been closed
_LOST = (RedisConnectionError, OSError, RuntimeError)
_FAILURES = (RedisError, OSError, RuntimeError, StoreUnavailableError)
# answers of a server that is no longer, or not yet, the one to ask
_NOT_THE_ONE = (ReadOnlyError, MasterDownError, BusyLoadingError)


class _Call:
    """A command and the future of its answer."""

    __slots__ = ("answer", "words")

    def __init__(self, words: tuple[_Word, ...]) -> None:
        self.words = words
        self.answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()


class RedisLink:
    """One pipeline to one server. Every command must bear being sent twice."""

    def __init__(self, client: Redis) -> None:
        self._client = client
        self._waiting: deque[_Call] = deque()
        self._sender: asyncio.Task[None] | None = None
        self._mender: asyncio.Task[None] | None = None
        self._ready = False
        self._trouble: StoreUnavailableError | None = None

    async def call(self, *words: _Word) -> Any:  # noqa: ANN401 - the command's answer
        """Run a command. Raises StoreUnavailableError; at once while the server is known not to answer."""
        if self._trouble is not None:
            raise type(self._trouble)(self._trouble.message, retry_after=_RETRY_SECONDS)
        if len(self._waiting) >= _MAX_WAITING:
            raise StoreUnavailableError("too much waits for Redis already; try again", retry_after=_RETRY_SECONDS)
        call = _Call(words)
        self._waiting.append(call)
        if self._sender is None or self._sender.done():
            self._sender = asyncio.get_running_loop().create_task(self._send())
        return await call.answer

    async def script(self, script: Script, keys: Sequence[str], *arguments: _Word) -> Any:  # noqa: ANN401 - as above
        """Run a script; one that the server does not know (any more) is sent along."""
        try:
            return await self.call("EVALSHA", script.sha, len(keys), *keys, *arguments)
        except NoScriptError:
            return await self.call("EVAL", script.source, len(keys), *keys, *arguments)

    async def close(self) -> None:
        """Close the connections; what still waits is told that the store is closed."""
        self._trouble = StoreUnavailableError("the store is closed")
        for task in (self._sender, self._mender):
            if task is not None:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
        self._fail(list(self._waiting))
        self._waiting.clear()
        await self._client.aclose()

    async def _send(self) -> None:
        while self._waiting:
            batch = [self._waiting.popleft() for _ in range(min(len(self._waiting), _BATCH))]
            batch = [call for call in batch if not call.answer.done()]  # its caller has gone away
            try:
                answers = await self._answers(batch)
            except _FAILURES as error:
                self._broken(error)
                self._fail([*batch, *self._waiting])
                self._waiting.clear()
                return
            except asyncio.CancelledError:
                self._fail(batch)
                raise
            if any(isinstance(answer, _NOT_THE_ONE) for answer in answers):
                await self._leave()
            for call, answer in zip(batch, answers, strict=True):
                _fill(call, answer)

    async def _answers(self, batch: Sequence[_Call]) -> list[Any]:
        try:
            if not self._ready:
                await self._require_keeping()
            return await self._pipeline(batch)
        except RedisTimeoutError:
            raise
        except _LOST:
            # a server that was restarted has closed the connection that was kept: once more on a new one
            return await self._pipeline(batch)

    async def _pipeline(self, batch: Sequence[_Call]) -> list[Any]:
        async with self._client.pipeline(transaction=False) as pipeline:
            for call in batch:
                pipeline.execute_command(*call.words)
            answers: list[Any] = await pipeline.execute(raise_on_error=False)
        return answers

    async def _require_keeping(self) -> None:
        """Refuse a server that may throw records away. Raises StoreMisconfiguredError."""
        policy = (await self._client.info("memory")).get("maxmemory_policy", _POLICY)
        if policy != _POLICY:
            raise StoreMisconfiguredError(
                f"Redis throws records away when its memory is full (maxmemory-policy {policy}); set it to {_POLICY}"
            )
        self._ready = True

    async def _leave(self) -> None:
        """Go away from a server that has become a replica, or is not ready: by its name another may be found now."""
        await self._client.connection_pool.disconnect(inuse_connections=False)
        self._broken(StoreUnavailableError("Redis cannot be written: it is a replica, or not ready"))

    def _broken(self, error: Exception) -> None:
        self._trouble = error if isinstance(error, StoreUnavailableError) else StoreUnavailableError(_told(error))
        self._ready = False
        _log.warning("redis_lost", extra={"reason": self._trouble.message})
        if self._mender is None or self._mender.done():
            self._mender = asyncio.get_running_loop().create_task(self._mend())

    async def _mend(self) -> None:
        """Knock until the server answers again; meanwhile nobody waits for it."""
        failures = 0
        while True:
            failures += 1
            await asyncio.sleep(min(backoff(failures), _RETRY_SECONDS))
            try:
                await self._require_keeping()
            except _FAILURES:
                continue
            self._trouble = None
            _log.info("redis_found")
            return

    def _fail(self, calls: Sequence[_Call]) -> None:
        trouble = self._trouble or StoreUnavailableError("the store is closed")
        for call in calls:
            _fill(call, type(trouble)(trouble.message, retry_after=_RETRY_SECONDS))


def _fill(call: _Call, answer: Any) -> None:  # noqa: ANN401 - an answer or an error
    if call.answer.done():
        return
    if isinstance(answer, NoScriptError | StoreUnavailableError):
        call.answer.set_exception(answer)
    elif isinstance(answer, Exception):
        # the server's own words for a command that it refuses (out of memory, read only, no permission)
        call.answer.set_exception(StoreUnavailableError(_told(answer)))
    else:
        call.answer.set_result(answer)


def _told(error: Exception) -> str:
    words = str(error).partition("\n")[0]
    return f"Redis cannot be used: {words[:200] or type(error).__name__}"
