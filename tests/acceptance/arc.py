"""ARC's HED (`arched`), the server side of a NorduGrid computing element, as far as the TLS handshake.

It has no service: whoever gets through the handshake reads 404.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.acceptance.tls import ALERT, get
from tests.tools.hostcert import HostCredential
from tests.tools.programs import Server, Verdict, dies_with_us, environment, need, serving, wait_for

_NAMESPACE = "http://www.nordugrid.org/schemas"
_CONFIGURATION = f"""\
<?xml version="1.0"?>
<ArcConfig xmlns="{_NAMESPACE}/ArcConfig/2007" xmlns:tcp="{_NAMESPACE}/ArcMCCTCP/2009/08"
           xmlns:tls="{_NAMESPACE}/ArcMCCTLS/2009/08">
  <Server><PidFile>{{top}}/pid</PidFile><Logger level="VERBOSE"/></Server>
  <ModuleManager><Path>/usr/lib/arc/</Path></ModuleManager>
  <Plugins><Name>mcctcp</Name></Plugins><Plugins><Name>mcctls</Name></Plugins><Plugins><Name>mcchttp</Name></Plugins>
  <Chain>
    <Component name="tcp.service" id="tcp">
      <next id="tls"/>
      <tcp:Listen><tcp:Interface>127.0.0.1</tcp:Interface><tcp:Port>0</tcp:Port></tcp:Listen>
    </Component>
    <Component name="tls.service" id="tls">
      <next id="http"/>
      <tls:KeyPath>{{key}}</tls:KeyPath><tls:CertificatePath>{{certificate}}</tls:CertificatePath>
      <tls:CACertificatesDir>{{trust}}</tls:CACertificatesDir>
    </Component>
    <Component name="http.service" id="http"><next id="plexer">GET</next></Component>
    <Plexer name="plexer.service" id="plexer"/>
  </Chain>
</ArcConfig>
"""
# the alert has reached the client, so it was the server
REFUSAL = ALERT
_LISTENING = "0A"  # TCP_LISTEN in /proc/net/tcp


class Arc:
    """A running server."""

    def __init__(self, server: Server, port: int, trust_dir: Path) -> None:
        self._server = server
        self._port = port
        self._trust_dir = trust_dir

    def takes(self, pem: bytes) -> Verdict:
        """Connect with a proxy as the client certificate."""
        since = self._server.position()
        said = get(self._port, self._trust_dir, "/", pem=pem)
        return Verdict("HTTP/1.1 404" in said, f"https: {said}\narched: {self._server.output(since)}")


@contextmanager
def arc(directory: Path, trust_dir: Path, host: HostCredential) -> Iterator[Arc]:
    """Run a server until the block ends."""
    need("arched", "setpriv")
    certificate, key = host.write(directory)
    configuration = directory / "arched.xml"
    configuration.write_text(_CONFIGURATION.format(top=directory, key=key, certificate=certificate, trust=trust_dir))
    argv = dies_with_us(["arched", "-f", "-c", configuration])
    with serving(argv, log=directory / "arched.log", env=environment(), directory=directory) as server:
        pid = server.process.pid
        yield Arc(server, wait_for(lambda: _port_of(pid), server.output), trust_dir)


def _port_of(pid: int) -> int | None:
    """Return the port that a process listens on, for it does not tell."""
    own = {str(each.readlink()) for each in Path(f"/proc/{pid}/fd").iterdir()}
    for line in Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:]:
        (
            _,
            address,
            _,
            state,
            *_,
        ) = line.split()
        if state == _LISTENING and f"socket:[{line.split()[9]}]" in own:
            return int(address.partition(":")[2], 16)
    return None
