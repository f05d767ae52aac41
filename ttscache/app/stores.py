"""Opens the configured store."""

from __future__ import annotations

import logging
import time

from ttscache.config.settings import Settings
from ttscache.errors import ConfigurationError, RecordUnreadableError, StoreMisconfiguredError, StoreUnavailableError
from ttscache.store.base import Store
from ttscache.store.memory import MemoryStore
from ttscache.store.redis_address import RedisAddress
from ttscache.store.sealing import SealedStore
from ttscache.store.sqlite import SqliteStore

_log = logging.getLogger(__name__)
_CANARY_KEY = "canary"
_CANARY_SECONDS = 10 * 365 * 86400.0


def open_store(settings: Settings) -> Store:
    """Open the configured store, sealed. Raises ConfigurationError, StoreUnavailableError."""
    bare = open_bare_store(settings)
    return bare if isinstance(bare, MemoryStore) else SealedStore(bare, settings.store.sealing_keys)


def open_bare_store(settings: Settings) -> Store:
    """Open the configured store as it is at rest. Raises as :func:`open_store`."""
    if settings.store.redis is not None:
        return _redis(settings.store.redis)
    if settings.store.path is not None:
        return SqliteStore(settings.store.path, time.time)
    return MemoryStore(time.time)


def missing_store(settings: Settings) -> str | None:
    """Tell why a command beside the daemon finds nothing in the store, or None.

    It is the daemon that makes its file: one that root made here would lock the daemon out.
    """
    path = settings.store.path
    if path is not None:
        return None if path.exists() else f"the store is not there yet ({path})"
    return "the store is memory" if settings.store.redis is None else None


async def require_usable(store: Store) -> None:
    """Refuse at once, not record by record, a store that was sealed with other keys or may forget records.

    Raises ConfigurationError.
    """
    try:
        if await store.get(_CANARY_KEY) is None:
            await store.put(_CANARY_KEY, b"", expires_at=time.time() + _CANARY_SECONDS)
    except RecordUnreadableError as error:
        raise ConfigurationError((f"store.sealing_keys: {error.message}",)) from None
    except StoreMisconfiguredError as error:
        raise ConfigurationError((f"store.url: {error.message}",)) from None
    except StoreUnavailableError as error:
        _log.warning("store_unavailable", extra={"reason": error.message})  # readiness tells it from here on


def _redis(address: RedisAddress) -> Store:
    try:
        from ttscache.store.redis import RedisStore  # noqa: PLC0415 - the library is an optional extra
    except ImportError:
        raise ConfigurationError(("store.url: Redis needs a library: pip install 'ttscache[redis]'",)) from None
    return RedisStore(address, time.time)
