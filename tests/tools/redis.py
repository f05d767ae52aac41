"""A real Redis, as a process of its own: it can be killed and started again, hang, and have its clock set."""

import contextlib
import hashlib
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Self

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from tests.net.private_ca import PrivateCa
from tests.tools.faultproxy import bound
from tests.tools.programs import PATIENCE, Server, dies_with_us, end, environment, need, unavailable, wait_for
from ttscache.durable import write_atomically

FAKETIME = Path("/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1")

# what an operator would give the daemon, and no more
RIGHTS = "~ttscache:* &ttscache:* +@all -@dangerous +info"

_ADMIN, _PASSWORD = "admin", "admin"
_ALWAYS = (
    "bind 127.0.0.1",
    'save ""',
    # it never forks, so that there is one process to watch, to stop and to clean up after
    "auto-aof-rewrite-percentage 0",
)


def _user(name: str, password: str, rights: str) -> str:
    # by its digest, for a password may have spaces and quotes
    return f"user {name} on #{hashlib.sha256(password.encode()).hexdigest()} {rights}"


class RedisServer:
    """A server that runs from the beginning of the block, with a directory of its own, and keeps its port.

    With `users` (names and passwords) they have `RIGHTS`, and who does not log in has none. `persistent` keeps each
    write before it is answered. With `faked` the wall clock can be set; it is ours at first.

    It is tied to the thread that starts it, and ends with it.
    """

    def __init__(
        self,
        *,
        persistent: bool = False,
        policy: str = "noeviction",
        maxmemory: str = "64mb",
        users: Mapping[str, str] | None = None,
        tls: bool = False,
        faked: bool = False,
    ) -> None:
        need("redis-server", "setpriv")
        if faked and not FAKETIME.exists():
            unavailable("libfaketime is not installed")
        self._tls = tls
        self._faked = faked
        self._running: Server | None = None
        self._settings = [*_ALWAYS, f"maxmemory {maxmemory}", f"maxmemory-policy {policy}"]
        self._settings += ["appendonly yes", "appendfsync always"] if persistent else ["appendonly no"]
        self._settings += [_user(_ADMIN, _PASSWORD, "~* &* +@all")]
        if users:
            self._settings += ["user default off", *(_user(name, users[name], RIGHTS) for name in users)]

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as stack:
            self.directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="redis-")))
            # nobody else is given the port while the server is down
            self.port = int(stack.enter_context(bound()).getsockname()[1])
            stack.callback(self.kill)
            self._prepare()
            self.start()
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @property
    def url(self) -> str:
        return f"{'rediss' if self._tls else 'redis'}://127.0.0.1:{self.port}/0"

    @property
    def ca_file(self) -> Path:
        """The certificate that a server with TLS is verified by."""
        return self.directory / "ca.pem"

    @property
    def pid(self) -> int:
        return self._process.pid

    def start(self) -> None:
        """Start the server, also again, and wait until it answers."""
        assert self._running is None, "it runs"
        argv = dies_with_us(["redis-server", self.directory / "redis.conf"])
        with self._log.open("ab") as log:
            process = subprocess.Popen(
                argv, env=self._environment(), stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT
            )
        running = self._running = Server(process, self._log)

        def probe() -> bool | None:
            assert process.poll() is None, running.output()
            with contextlib.suppress(redis.ConnectionError):  # also while it loads what it kept
                return bool(self.ask("PING"))
            return None

        wait_for(probe, running.output)

    def stop(self) -> None:
        """End the server in order."""
        if self._running is not None:
            self._process.terminate()
            self.resume()
            end(self._process)
            self._cleared()

    def kill(self) -> None:
        """End the server as `kill -9` does."""
        if self._running is not None:
            self._process.kill()
            self._process.wait()
            self._cleared()

    def pause(self) -> None:
        """Let the server hang: its port takes connections and requests, and answers nothing."""
        self._process.send_signal(signal.SIGSTOP)
        state = Path(f"/proc/{self.pid}/stat")
        # after the name, which is in brackets; a signal takes effect a moment after it is sent
        wait_for(lambda: state.read_text().rpartition(") ")[2][0] == "T" or None, lambda: "not stopped")

    def resume(self) -> None:
        self._process.send_signal(signal.SIGCONT)

    def set_clock(self, posix_seconds: float) -> None:
        """Let the server's wall clock go on from this time; at once, also while it runs."""
        assert self._faked
        write_atomically(self.directory / "offset", f"{posix_seconds - time.time():+.6f}\n".encode())

    def stop_clock(self, posix_seconds: float) -> None:
        """Let the server's wall clock stand at this whole second, until it is set again."""
        assert self._faked
        moment = datetime.fromtimestamp(posix_seconds).astimezone()  # libfaketime reads it in the zone of the server
        write_atomically(self.directory / "offset", f"{moment:%Y-%m-%d %H:%M:%S}\n".encode())

    @property
    def now(self) -> float:
        """The time by the server's wall clock."""
        seconds, microseconds = self.ask("TIME")
        return float(seconds) + float(microseconds) / 1e6

    def ask(self, *words: str | bytes | float) -> Any:  # noqa: ANN401 - whatever the command answers
        """Run one command as one who may do everything; texts come as bytes."""
        with self.admin() as client:
            return client.execute_command(*words)

    def admin(self) -> redis.Redis:
        """Return a client, to be closed, that may do everything and tries it once; it has a way in of its own."""
        return redis.Redis(
            unix_socket_path=str(self._socket),
            username=_ADMIN,
            password=_PASSWORD,
            protocol=2,
            retry=Retry(NoBackoff(), 0),
            socket_timeout=PATIENCE,
        )

    @property
    def log(self) -> str:
        return self._log.read_text(errors="replace")

    @property
    def _log(self) -> Path:
        return self.directory / "redis.log"

    @property
    def _socket(self) -> Path:
        return self.directory / "socket"

    @property
    def _process(self) -> subprocess.Popen[bytes]:
        assert self._running is not None, "it does not run"
        return self._running.process

    def _prepare(self) -> None:
        settings = [f"dir {self.directory}", f"unixsocket {self._socket}", *self._settings]
        if self._tls:
            ca = PrivateCa()
            ca.write(self.ca_file)
            ca.server_context(self.directory)
            pair = self.directory / "server.pem"
            settings += [f"tls-cert-file {pair}", f"tls-key-file {pair}", f"tls-ca-cert-file {self.ca_file}"]
            settings += [f"tls-port {self.port}", "port 0", "tls-auth-clients no"]
        else:
            settings += [f"port {self.port}"]
        (self.directory / "redis.conf").write_text("\n".join([*settings, ""]))
        if self._faked:
            self.set_clock(time.time())

    def _environment(self) -> dict[str, str]:
        if not self._faked:
            return environment(HOME=self.directory)
        return environment(
            HOME=self.directory,
            # Debian's Redis has jemalloc, which asks for the time before libfaketime can tell it: malloc is libc's here
            LD_PRELOAD=f"{FAKETIME} libc.so.6",
            FAKETIME_DONT_FAKE_MONOTONIC="1",
            FAKETIME_NO_CACHE="1",
            # as for the daemon: otherwise what waits would spin
            FAKETIME_FORCE_MONOTONIC_FIX="0",
            FAKETIME_TIMESTAMP_FILE=self.directory / "offset",
        )

    def _cleared(self) -> None:
        for left in (f"faketime_shm_{self.pid}", f"sem.faketime_sem_{self.pid}"):
            Path("/dev/shm", left).unlink(missing_ok=True)  # noqa: S108 - where libfaketime puts them
        self._running = None
