"""A server in the daemon's place that answers well for `whoami`, and for the rest as the test has it."""

import json
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from proxy_gen.credential import Credential, chain_pem
from proxy_gen.csr import csr_public_key
from proxy_gen.names import DistinguishedName
from proxy_gen.pci import ProxyKind
from proxy_gen.proxy import issue_proxy
from tests.client.misbehaving import http
from tests.tools.minting import DAY, HOUR, authority, end_entity, key_of
from ttscache.sidecar.order import Item, Order, Outcome
from ttscache.sidecar.work import outcomes

JANE = "/DC=org/DC=ttscache/O=hostile/CN=jane"
CA = authority("/DC=org/DC=ttscache/O=hostile/CN=CA")
# older than every proxy below it
EEC = end_entity(CA, JANE, now=datetime.now(UTC) - 2 * HOUR, lifetime=DAY)

# what is sent, piece by piece, in answer to a request's body
Answer = Callable[[bytes], Iterable[bytes]]


@dataclass
class Hostile:
    """``answers`` are by path; ``asked`` are the paths that were asked for, ``tokens`` those that were shown."""

    url: str
    open: Callable[[], None]
    answers: dict[str, Answer]
    asked: list[str] = field(default_factory=list)
    tokens: list[str] = field(default_factory=list)
    dripping: bool = False
    ending: threading.Event = field(default_factory=threading.Event)

    def drip(self, beginning: bytes = b"") -> Iterator[bytes]:
        """Send a byte now and then, without an end."""
        yield beginning
        self.dripping = True
        while not self.ending.wait(0.05):
            yield b" "


@contextmanager
def hostile(*, shut: bool = False, **answers: Answer) -> Iterator[Hostile]:
    """Serve; the names of answers are those of :data:`PATHS`.

    One that is ``shut`` cannot be connected to before it is opened.
    """
    server = ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler, bind_and_activate=False)
    server.server_bind()
    known = {PATHS[name]: answer for name, answer in ({"whoami": whoami} | answers).items()}
    state = Hostile(f"http://127.0.0.1:{server.server_address[1]}", server.server_activate, known)
    server.RequestHandlerClass = _handler(state)
    if not shut:
        state.open()
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield state
    finally:
        state.ending.set()
        server.shutdown()
        server.server_close()
        thread.join()


PATHS = {
    "whoami": "/v1/whoami",
    "proxy": "/v1/proxy",
    "token": "/token",
    "trust": "/trust/anchors.tar.gz",
    "vomsdir": "/trust/vomsdir.tar.gz",
}


def _handler(state: Hostile) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            state.tokens.append(self.headers.get("Authorization", "").removeprefix("Bearer "))
            state.asked.append(self.path)
            with suppress(OSError):  # the sidecar may have had enough
                for piece in state.answers.get(self.path, says(b""))(body):
                    self.wfile.write(piece)
                    self.wfile.flush()

        def do_POST(self) -> None:
            self.do_GET()

        def log_message(self, *_: object) -> None:
            pass

    return Handler


def whoami(_: bytes) -> Iterable[bytes]:
    """What a daemon says of jane's token."""
    profile = {"type": "x509-proxy", "key": "p-256", "limited": False, "vos": []}
    yield document(
        {
            "issuer": "test",
            "subject": "jane",
            "authority": DistinguishedName(CA.certificate.subject).slash,
            "groups": [],
            "trace": [],
            "decision": {"dn": JANE, "fqans": [], "profiles": {"pilot": profile}},
            "refused": None,
        }
    )


def says(answer: bytes) -> Answer:
    """Always answer so."""
    return lambda _: [answer]


def document(fields: object) -> bytes:
    return http(json.dumps(fields).encode())


def proxy_answer(pem: bytes) -> bytes:
    """What POST /v1/proxy answers."""
    return document(
        {
            "pem": pem.decode("latin-1"),
            "subject": JANE,
            "identity": JANE,
            "account": None,
            "issuer": DistinguishedName(CA.certificate.subject).slash,
            "not_before": "2026-01-01T00:00:00Z",
            "not_after": "2099-01-01T00:00:00Z",
            "fqans": [],
            "serial": "1",
            "profile": "pilot",
            "shortened_by": [],
        }
    )


def minted(
    body: bytes,
    *,
    parent: Credential = EEC,
    kind: ProxyKind = ProxyKind.FULL,
    now: datetime | None = None,
    lifetime: timedelta = HOUR,
) -> Credential:
    """Return a proxy for the key of a request's CSR."""
    key = csr_public_key(json.loads(body)["csr"].encode()).key
    moment = now or datetime.now(UTC)
    leaf = issue_proxy(parent.leaf, key_of(parent), key, now=moment, lifetime=lifetime, kind=kind)
    return Credential((leaf, *parent.chain))


def answers(make: Callable[[bytes], Credential]) -> Answer:
    """Answer with a chain that is made for the request's key."""
    return lambda body: [proxy_answer(chain_pem(make(body).chain))]


good_proxy = answers(minted)


def turn(daemon: Hostile, token: Path, item: Item) -> Outcome:
    """Do for an item what a worker does in its turn."""
    order = Order(daemon.url, None, token, min_left=60, mode=0o600, owner=None, items=(item,))
    (outcome,) = outcomes(order)
    return outcome
