"""The daemon: from a configuration file to a listener that answers, and to its orderly end."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import signal
import socket
import ssl
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from aiohttp import web

from proxy_gen.keys import KeyKind
from proxy_gen.pool import KeyPool
from ttscache.app.authorities import open_local
from ttscache.app.compose import compose
from ttscache.app.listener import (
    listening_socket,
    reload_certificate,
    tcp_listener,
    tcp_url,
    tls_context,
    unix_listener,
    url_of,
)
from ttscache.app.stores import open_store, require_usable
from ttscache.authority.generations import Generations
from ttscache.broker.publishing import Published
from ttscache.config.certificates import read_certificates
from ttscache.config.load import load
from ttscache.config.settings import AdminSettings, ProxyProfile, Settings, TlsSettings
from ttscache.durable import write_atomically
from ttscache.errors import ConfigurationError, StoreUnavailableError
from ttscache.net.deadline import Deadline
from ttscache.sdnotify import READY, STOPPING, WATCHDOG, notify, reloading, status, watchdog_interval
from ttscache.server.application import Runner, admin_application, application, legacy_application
from ttscache.server.services import Current, Services

_log = logging.getLogger(__name__)
# Half a second of key generation held ready for each kind of RSA key.
_POOL_DEPTH = 16
_SLOW_KINDS = frozenset({KeyKind.RSA_2048, KeyKind.RSA_3072, KeyKind.RSA_4096})
_SWEEP_SECONDS = 600.0
# After readiness has turned, load balancers take this long to look elsewhere.
_DRAIN_SECONDS = 1.0
_SHUTDOWN_SECONDS = 30.0
_BACKLOG = 4096
_PUBLISH_SECONDS = 30.0
_LOOK_SECONDS = 5.0


class Daemon:
    """The daemon of one configuration file."""

    def __init__(self, configuration: Path) -> None:
        """Load the configuration, the CA and the store. Raises ConfigurationError, StoreUnavailableError."""
        self._configuration = configuration
        self._settings = load(configuration)
        self._tls = tls_context(self._settings.server.tls, self._settings.admin.client_ca)
        self._generations = open_local(self._settings)
        require_foreign(self._settings.admin, self._generations)
        self._store = open_store(self._settings)
        self._pools: dict[KeyKind, KeyPool] = {}
        self._background: set[asyncio.Task[object]] = set()
        self._beside: asyncio.Task[object] | None = None
        self._replaced: list[Services] = []
        self._closing: dict[int, asyncio.Task[None]] = {}
        self._reloading = asyncio.Lock()
        self._stop = asyncio.Event()
        self._current: Current | None = None
        self.url = ""
        self.legacy_url: str | None = None

    async def run(
        self, ready_file: Path | None = None, before_ready: Callable[[], Awaitable[Mapping[str, str]]] | None = None
    ) -> None:
        """Serve until :meth:`stop`, or SIGTERM or SIGINT; SIGHUP reloads.

        ``ready_file`` is written when everything answers: JSON with `url`, `legacy_url` where old clients are served,
        and what ``before_ready`` returns. Raises ConfigurationError when the address cannot be listened on.
        """
        _forget(ready_file)
        try:
            await require_usable(self._store)
            with ExitStack() as sockets:
                listener = sockets.enter_context(listening_socket(self._settings))
                self.url = url_of(listener, self._settings)
                current = self._current = Current(self._compose(self._settings), self.reload)
                runners = [await _started(application(current), listener, self._tls)]
                try:
                    runners += [await _started(*each) for each in self._others(current, sockets)]
                    await self._serve(current, ready_file, before_ready)
                finally:
                    await self._end(runners, current)
        finally:
            await self._close()

    def _others(
        self, current: Current, sockets: ExitStack
    ) -> Iterator[tuple[web.Application, socket.socket, ssl.SSLContext | None]]:
        """Listen for administrators at home, and for old clients, where the configuration says so."""
        if (path := self._settings.admin.socket) is not None:
            at_home = sockets.enter_context(unix_listener(path, "admin.socket", mode=0o600))
            yield admin_application(current), at_home, None
        if (legacy := self._settings.legacy) is not None:
            tls = None if legacy.plaintext else self._tls
            listener = sockets.enter_context(tcp_listener(legacy.host, legacy.port, "legacy.listen"))
            self.legacy_url = tcp_url(listener, "http" if tls is None else "https")
            yield legacy_application(current), listener, tls

    async def published(self) -> Published:
        """Return what consumers must trust, while the daemon runs."""
        return await self._running.services.publisher.published(Deadline.after(_PUBLISH_SECONDS))

    def voms_files(self) -> dict[str, bytes]:
        """Return the files of the VOMS trust directory, while the daemon runs."""
        return self._running.services.publisher.voms_files()

    @property
    def _running(self) -> Current:
        if self._current is None:
            raise RuntimeError("the daemon does not run")
        return self._current

    def stop(self) -> None:
        """End :meth:`run` after the requests in flight."""
        self._stop.set()

    async def reload(self) -> tuple[str, ...]:
        """Put the configuration as it is now in the place of the running one.

        A wrong one changes nothing; returns its mistakes, of which there are none when it was reloaded.
        """
        async with self._reloading:
            notify(reloading())
            try:
                return await self._reload()
            finally:
                notify(READY)

    async def _reload(self) -> tuple[str, ...]:
        current = self._running
        try:
            settings = await asyncio.to_thread(load, self._configuration)
            require_reloadable(self._settings, settings)
            generations = await asyncio.to_thread(open_local, settings)
            require_foreign(settings.admin, generations)
            if self._tls is not None and settings.server.tls is not None:
                reload_certificate(self._tls, settings.server.tls)
        except ConfigurationError as error:
            for mistake in error.mistakes:
                _log.warning("reload_refused", extra={"mistake": mistake})
            notify(status(f"serving {self.url}; not reloaded, mistakes: {len(error.mistakes)}"))
            return error.mistakes
        previous = current.services
        self._settings, self._generations = settings, generations
        current.services = self._compose(settings, previous)
        self._look_after(current.services)
        self._spawn(_warm(current.services))
        self._replaced.append(previous)
        self._spawn(self._close_later(previous))
        notify(status(f"serving {self.url}"))
        _log.info("reloaded")
        return ()

    def _look_after(self, services: Services) -> None:
        """Let the work beside the requests go on for these services, and end for those before."""
        if self._beside is not None:
            self._beside.cancel()
        self._beside = self._spawn(services.background())

    async def _serve(
        self,
        current: Current,
        ready_file: Path | None,
        before_ready: Callable[[], Awaitable[Mapping[str, str]]] | None,
    ) -> None:
        self._handle_signals()
        self._spawn(self._sweep_regularly())
        self._spawn(_calm_watchdog())
        self._spawn(self._follow_certificate())
        await _warm(current.services)
        self._look_after(current.services)
        legacy = {} if self.legacy_url is None else {"legacy_url": self.legacy_url}
        ready = {"url": self.url, **legacy, **(await before_ready() if before_ready is not None else {})}
        if ready_file is not None:
            write_atomically(ready_file, json.dumps(ready).encode(), mode=0o644)
        # what was made up to here lives as long as the daemon: the collector need not walk over it again and again
        gc.collect()
        gc.freeze()
        _log.info("serving", extra={"url": self.url})
        notify(READY, status(f"serving {self.url}"))
        await self._stop.wait()
        notify(STOPPING, status("draining"))
        current.draining = True
        await asyncio.sleep(_DRAIN_SECONDS)

    async def _follow_certificate(self) -> None:
        """Take up the certificate when its files are others: who renews it in a pod's volume can send no signal."""
        known = _seen(self._settings.server.tls)
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            tls = self._settings.server.tls
            if self._tls is None or tls is None or (found := _seen(tls)) == known:
                continue
            known = found  # also when they are refused: the other one of the two is perhaps still to come
            try:
                reload_certificate(self._tls, tls)
            except ConfigurationError as error:
                _log.warning("certificate_refused", extra={"mistake": error.mistakes[0]})
            else:
                _log.info("certificate_renewed")

    def _compose(self, settings: Settings, previous: Services | None = None) -> Services:
        wanted = {profile.key for profile in settings.profiles.values() if isinstance(profile, ProxyProfile)}
        for kind in wanted & _SLOW_KINDS - set(self._pools):
            self._pools[kind] = KeyPool(kind, _POOL_DEPTH)
        public_url = (settings.server.public_url or self.url).rstrip("/")
        return compose(settings, public_url, self._store, self._generations, self._pools, previous)

    def _handle_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stop)
        loop.add_signal_handler(signal.SIGHUP, lambda: self._spawn(self.reload()))

    def _spawn(self, work: Coroutine[None, None, object]) -> asyncio.Task[object]:
        task = asyncio.get_running_loop().create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)
        return task

    async def _close_later(self, services: Services) -> None:
        """Close services that a reload replaced, once the requests that began with them are over."""
        await asyncio.sleep(services.settings.server.deadline)
        await self._closed(services)
        self._replaced.remove(services)
        del self._closing[id(services)]  # of which others may have the id one day

    async def _closed(self, services: Services) -> None:
        """Close services once, however many wait for it and whoever of them goes away."""
        closing = self._closing.get(id(services))
        if closing is None:
            closing = self._closing[id(services)] = asyncio.get_running_loop().create_task(services.close())
        await asyncio.shield(closing)

    async def _sweep_regularly(self) -> None:
        while True:
            await asyncio.sleep(_SWEEP_SECONDS)
            try:
                await self._store.sweep()
            except StoreUnavailableError as error:
                _log.warning("sweep_failed", extra={"reason": error.message})

    async def _end(self, runners: Sequence[Runner], current: Current) -> None:
        """Let the requests in flight finish, and what they began behind the scenes."""
        for runner in runners:
            await runner.cleanup()
        for task in self._background:
            task.cancel()
        await asyncio.gather(*self._background, return_exceptions=True)
        # those that a reload has replaced may have a refresh under way: its outcome must reach the store
        for services in (*self._replaced, current.services):
            await self._closed(services)
        _log.info("stopped")

    async def _close(self) -> None:
        await self._store.close()
        for pool in self._pools.values():
            await asyncio.to_thread(pool.stop)


def _seen(tls: TlsSettings | None) -> tuple[tuple[int, int] | None, ...]:
    """Return what tells the files of a certificate from those that come after them."""

    def state(file: Path) -> tuple[int, int] | None:
        try:
            status = file.stat()
        except OSError:
            return None
        return status.st_ino, status.st_mtime_ns

    return () if tls is None else (state(tls.certificate), state(tls.key))


def _forget(ready_file: Path | None) -> None:
    """Remove the ready file of an earlier run: it speaks of a daemon that is gone."""
    if ready_file is not None:
        ready_file.unlink(missing_ok=True)


async def _started(app: web.Application, listener: socket.socket, tls: ssl.SSLContext | None) -> Runner:
    runner = Runner(app, _SHUTDOWN_SECONDS)
    await runner.setup()
    await web.SockSite(runner, listener, ssl_context=tls, backlog=_BACKLOG).start()
    return runner


def require_foreign(admin: AdminSettings, generations: Generations | None) -> None:
    """Raise ConfigurationError where the CA that signs for anybody's name would make administrators."""
    if admin.client_ca is None or generations is None:
        return
    own = [authority.public_key for authority in generations.all]
    if any(each.public_key() in own for each in read_certificates(admin.client_ca)):
        raise ConfigurationError(("admin.client_ca: must not be the CA that signs for identities",))


def require_reloadable(before: Settings, after: Settings) -> None:
    """Raise ConfigurationError for changes that only a restart can make."""
    mistakes = []
    if _address(before) != _address(after):
        mistakes.append("server.listen, and whether there is server.tls, change with a restart only")
    if (before.admin.socket, before.admin.client_ca) != (after.admin.socket, after.admin.client_ca):
        mistakes.append("admin.socket and admin.client_ca change with a restart only")
    if _old_clients(before) != _old_clients(after):
        mistakes.append("legacy.listen, legacy.plaintext, and whether there is legacy, change with a restart only")
    if replace(before.store, stale_for=0) != replace(after.store, stale_for=0):
        mistakes.append("store (but stale_for) changes with a restart only")
    if mistakes:
        raise ConfigurationError(tuple(mistakes))


def _address(settings: Settings) -> tuple[object, ...]:
    server = settings.server
    return server.host, server.port, server.unix_path, server.tls is None


def _old_clients(settings: Settings) -> tuple[object, ...] | None:
    legacy = settings.legacy
    return None if legacy is None else (legacy.host, legacy.port, legacy.plaintext)


async def _calm_watchdog() -> None:
    """Tell systemd that the event loop turns: it restarts a daemon whose loop hangs."""
    interval = watchdog_interval()
    while interval is not None:
        notify(WATCHDOG)
        await asyncio.sleep(interval)


async def _warm(services: Services) -> None:
    """Learn the issuers' endpoints and keys before the first token comes."""
    await services.readiness.dependencies()
