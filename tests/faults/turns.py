"""A turn of the sidecar's worker, struck on its way of writing a file."""

import base64
import json
import os
import stat
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import jwt

from proxy_gen.credential import Credential
from proxy_gen.csr import make_csr
from proxy_gen.errors import ProxyGenError
from proxy_gen.keys import KeyKind, generate_key
from proxy_gen.verify import verify_proxies
from tests.faults.striking import Program
from tests.tools.daemons import Daemon
from tests.tools.http import Web
from ttscache.client import Client
from ttscache.durable import Owner, prefix_of_temporary, temporary_prefix, write_atomically
from ttscache.sidecar import work
from ttscache.sidecar.order import Item, Kind, Order, Outcome

# all that the worker does from where it lets signals wait: the file, the directory, and what it tells the agent
STEPS = [
    "rt_sigprocmask", "getrandom", "openat", "fchown", "fchmod", "write", "fsync", "renameat", "newfstatat",
    "newfstatat", "close", "fsync", "rt_sigprocmask", "close", "write", "write",
]  # fmt: skip
RENAME = STEPS.index("renameat")
_MODE = 0o600
_ATTEMPTS = 5


@dataclass(frozen=True)
class Target:
    """A file that is kept: by which order, what was in it before, and how a whole one is told from another."""

    order: Order
    path: Path
    old: bytes
    is_whole: Callable[[bytes], bool]

    def reset(self) -> None:
        """Have the old file there, and nothing else."""
        write_atomically(self.path, self.old, mode=_MODE)
        for name in self.leftovers():
            (self.path.parent / name).unlink()

    def is_old(self) -> bool:
        """Whether the old file is there, whole; otherwise the new one must be."""
        content = self.path.read_bytes()
        assert content == self.old or self.is_whole(content), content
        assert self._modes() == {_MODE}
        return content == self.old

    def leftovers(self) -> list[str]:
        """What else is there; all of it must be what the sidecar would sweep away."""
        others = [each.name for each in self.path.parent.iterdir() if each != self.path]
        assert all(prefix_of_temporary(name) == temporary_prefix(self.path.name) for name in others)
        return others

    def _modes(self) -> set[int]:
        found = set()
        for each in self.path.parent.iterdir():
            with suppress(FileNotFoundError):  # somebody may be at work
                found.add(stat.S_IMODE(each.stat().st_mode))
        return found

    @property
    def options(self) -> list[str | Path]:
        """How the command line is told to keep it."""
        (item,) = self.order.items
        profile: list[str | Path] = [] if item.profile is None else [f"--{item.kind.value}-profile", item.profile]
        return ["--token-file", self.order.token_file, f"--{item.kind.value}", self.path, *profile]

    def turn(self) -> Outcome:
        """Have the worker do its work once more, undisturbed."""
        (outcome,) = work.outcomes(self.order)
        return outcome


def proxy_target(daemon: Daemon, path: Path) -> Target:
    client, key = Client(daemon.web.url, daemon.site.server_ca), generate_key(KeyKind.RSA_2048)
    token = daemon.site.token.read_text().strip()
    answer = client.proxy(token, profile="short", lifetime=540, csr=make_csr(key))
    old = Credential(Credential.parse(answer.pem).chain, key).to_pem()
    return Target(_order(daemon, Item(Kind.PROXY, path, "short", due=True)), path, old, is_proxy)


def bearer_target(daemon: Daemon, path: Path) -> Target:
    keys = jwt.PyJWKSet.from_json(Web(daemon.ready["iam_url"]).get("/jwk").body.decode())

    def is_whole(content: bytes) -> bool:
        try:
            key = keys[jwt.get_unverified_header(content[:-1])["kid"]]
            jwt.decode(content[:-1], key, options={"verify_aud": False})
        except (jwt.PyJWTError, KeyError):
            return False
        return content.endswith(b"\n")

    token = daemon.site.token.read_text().strip()
    issued = Client(daemon.web.url, daemon.site.server_ca).access_token(token)
    old = ended_sooner(issued.token) + b"\n"
    return Target(_order(daemon, Item(Kind.BEARER, path, due=True)), path, old, is_whole)


def is_proxy(content: bytes) -> bool:
    """Tell whether a file holds a chain that is good now, and the key that it is for."""
    try:
        credential = Credential.parse(content)
        verify_proxies(credential.chain, datetime.now(UTC))
    except (ProxyGenError, ValueError):
        return False
    return credential.key is not None and credential.key.public_key() == credential.leaf.public_key()


def ended_sooner(token: str) -> bytes:
    """Return a token with a minute less to live; nobody checks the signature of what is in a file already."""
    head, claims, signature = token.split(".")
    body = json.loads(base64.urlsafe_b64decode(claims + "=="))
    changed = base64.urlsafe_b64encode(json.dumps({**body, "exp": body["exp"] - 60}).encode()).rstrip(b"=")
    return b".".join((head.encode(), changed, signature.encode()))


def _order(daemon: Daemon, item: Item) -> Order:
    ours = Owner(os.geteuid(), os.getegid())
    return Order(daemon.web.url, daemon.site.server_ca, daemon.site.token, 60, _MODE, ours, (item,))


class Turn(Program):
    """The worker's process, keeping a file that is the old one whenever it starts; ``prepare`` runs unobserved."""

    def __init__(self, target: Target, prepare: str = "") -> None:
        loaded = "import io\nfrom ttscache.sidecar import proxies, tokens, work\nsys.stdin = io.StringIO(sys.argv[1])\n"
        super().__init__(loaded + prepare, "work.main()")
        self.target = target
        self.turns = 0
        self._before: Counter[str] = Counter()

    def way(self) -> list[str]:
        """Return the steps of an undisturbed turn."""
        self._before, steps = self._observed([])[1]
        return steps

    def struck_at(self, step: int, what: str, *more: str) -> tuple[str, int]:
        """Strike at one of `STEPS`: what the worker said, and how it ended; ``turns`` is how many this has taken.

        System calls are counted from the beginning, where their number depends on the pieces in which the daemon's
        answers come: what was struck elsewhere is struck again.
        """
        self.turns = 0
        name = STEPS[step]
        if not self._before:
            self.way()
        for _ in range(_ATTEMPTS):
            number = self._before[name] + STEPS[: step + 1].count(name)
            injected = [f"inject={name}:{what}:when={number}", *(f"inject={each}" for each in more)]
            result, (before, steps) = self._observed([option for each in injected for option in ("-e", each)])
            if steps and before[name] == self._before[name]:
                return result
            self.way()
        raise AssertionError(f"{name} is never called as often before the way as the last time")

    def undisturbed(self) -> tuple[str, int]:
        """Let it run: what it said, and how it ended."""
        self.target.reset()
        return self.run(self.target.order.to_json())

    def struck_before(self, call: str, what: str) -> tuple[str, int]:
        """Strike at the first call of a kind."""
        self.target.reset()
        return self.struck((call, 1), what, self.target.order.to_json())

    def _observed(self, options: Sequence[str]) -> tuple[tuple[str, int], tuple[Counter[str], list[str]]]:
        self.turns += 1
        self.target.reset()
        with tempfile.NamedTemporaryFile() as log:
            traced = ["-o", log.name, "-e", f"trace={','.join({*STEPS, 'unlinkat'})}", *options]
            result = self._run(traced, [self.target.order.to_json()])
            return result, _parts(Path(log.name).read_text().splitlines())


def _parts(lines: Iterable[str]) -> tuple[Counter[str], list[str]]:
    """Return how often each call was made before the way, and the calls on the way."""
    before: Counter[str] = Counter()
    way: list[str] = []
    for line in lines:
        name, bracket, arguments = line.split(maxsplit=1)[1].partition("(")
        if bracket and name.isidentifier():
            if way or (name == "rt_sigprocmask" and arguments.startswith("SIG_BLOCK")):
                way.append(name)
            else:
                before[name] += 1
    return before, way
