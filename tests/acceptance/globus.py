"""Globus GSSAPI as a peer, through MyProxy, whose server and client are both built on it.

Each question has a `myproxy-server` of its own: in debug mode (`-d`) it stays in the foreground, takes one connection
on a port that the kernel chose, writes its log to standard error instead of syslog, and ends. Its log is then
complete, belongs to one proxy, and costs a tenth of a second.
"""

import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from itertools import count
from pathlib import Path

from tests.acceptance.tls import ask
from tests.tools.hostcert import HostCredential
from tests.tools.programs import Server, Verdict, at_clock, dies_with_us, environment, need, run, serving

_CONFIGURATION = """\
accepted_credentials "{whose}"
authorized_retrievers "{whose}"
authorized_renewers "{whose}"
"""
# the server's word on a chain, of which the other end's is no part
REFUSAL = r"SSL handshake problems.*(?:globus_gsi_callback_module|certificate verify failed)"
_LISTENING = r"Starting myproxy-server on 127\.0\.0\.1:(\d+)\.\.\."
_AUTHENTICATED = re.compile(r"^Authenticated client (.+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True, repr=False)
class GlobusVerdict(Verdict):
    """Whether the GSI handshake came about, and the name that Globus has for the holder."""

    dn: str | None


class Globus:
    """The two ends of a GSI connection, with a trust directory in common.

    By default whoever authenticates may ask, for that is what is tested; else only one DN in slash form.
    """

    def __init__(self, directory: Path, trust_dir: Path, host: HostCredential, *, whose: str = "*") -> None:
        need("myproxy-server", "myproxy-info", "setpriv")
        self._directory = directory
        self._trust_dir = trust_dir
        self._host = host
        self._certificate, self._key = host.write(directory)
        self._configuration = directory / "myproxy-server.config"
        self._configuration.write_text(_CONFIGURATION.format(whose=whose))
        self._storage = directory / "storage"
        self._storage.mkdir(mode=0o700)  # the server refuses one that others may enter
        self._asked = count()

    def authenticates(self, proxy_file: Path, *, clock: timedelta = timedelta()) -> GlobusVerdict:
        """Let a GSI client with this proxy file ask the server something, and hear what both ends say.

        The client looks at its own credential too; with a clock set off, what it thinks may differ from the server's.
        """
        with self._server() as server:
            port = server.printed(_LISTENING)[1]
            client = self._ask(port, proxy_file, clock)
            # a client that refused its own credential never came, and the server still waits for its one connection
            with suppress(OSError):
                socket.create_connection(("127.0.0.1", int(port)), timeout=5).close()
            log = server.ended()
        found = _AUTHENTICATED.search(log)
        text = f"myproxy-info: {client.text}\nmyproxy-server: {log}"
        # "no credentials found" is a fine answer too: it is given to a client that was authenticated
        return GlobusVerdict(found is not None, text, found[1].strip() if found else None)

    def judges(self, proxy_file: Path) -> Verdict:
        """Ask with Globus' own client; if that keeps the proxy to itself, let the server see it all the same."""
        verdict = self.authenticates(proxy_file)
        if verdict.ok or re.search(REFUSAL, verdict.text):
            return verdict
        with self._server() as server:
            port = int(server.printed(_LISTENING)[1])
            # a GSI client's first octet; the log says what the server thought of the certificates before
            said = ask(port, self._trust_dir, b"0", "-no_ign_eof", "-tls1_2", pem=proxy_file.read_bytes())
            return Verdict(ok=False, text=f"{verdict.text}\ns_client: {said}\nmyproxy-server: {server.ended()}")

    def stores(self, proxy_file: Path) -> Verdict:
        """Let the holder of a proxy put it into the server's store, for which his name must be in the lists."""
        with self._server() as server:
            argv = ["myproxy-store", "-s", "localhost", "-p", server.printed(_LISTENING)[1], "-l", "anybody"]
            client = run([*argv, "-c", proxy_file, "-y", proxy_file], env=self._client_settings(proxy_file))
            return Verdict(client.ok, f"myproxy-store: {client.text}\nmyproxy-server: {server.ended()}")

    def _ask(self, port: str, proxy_file: Path, clock: timedelta) -> Verdict:
        argv = ["myproxy-info", "-s", "localhost", "-p", port, "-l", "anybody"]
        return run(at_clock(clock, argv), env=self._client_settings(proxy_file))

    def _client_settings(self, proxy_file: Path) -> dict[str, str]:
        return environment(X509_CERT_DIR=self._trust_dir, X509_USER_PROXY=proxy_file, MYPROXY_SERVER_DN=self._host.dn)

    @contextmanager
    def _server(self) -> Iterator[Server]:
        asked = next(self._asked)
        argv: list[str | Path] = ["myproxy-server", "-d", "-l", "127.0.0.1", "-p", "0", "-z", self._directory / "port"]
        # one file for the process's id in /run would let but one of them run on the machine
        argv += ["-P", self._directory / f"pid-{asked}", "-c", self._configuration, "-s", self._storage]
        env = environment(X509_CERT_DIR=self._trust_dir, X509_USER_CERT=self._certificate, X509_USER_KEY=self._key)
        log = self._directory / f"myproxy-server-{asked}.log"
        with serving(dies_with_us(argv), log=log, env=env) as server:
            yield server
