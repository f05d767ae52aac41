"""All that runs: the IAM and Redis behind faulty networks, two replicas, and who asks them."""

import asyncio
import io
import tarfile
from collections.abc import AsyncIterator, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import aiohttp

from proxy_gen.trust import TrustAnchors
from tests.soak.iam import WatchedIam
from tests.soak.replica import Replica
from tests.soak.secrets import Secrets
from tests.soak.site import AUDIENCE, TOKEN_SCOPES, Keys, Person, people, spelled, write_configuration, write_secrets
from tests.soak.timeline import Findings, Timeline
from tests.tools.daemons import ttscache
from tests.tools.faultproxy import FaultProxy, bound
from tests.tools.redis import RedisServer
from ttscache.sandbox.iam import IamConfig

NAMES = ("a", "b")
# nobody can log in as that user, but a transaction in the file is refused to one without rights
_REPLAYING = "user default off ~* &* +@all"
_Result = TypeVar("_Result")


class _Server(RedisServer):
    """Redis as it keeps what it is given: it replays its file with the rights of the default user."""

    def __init__(self, users: Mapping[str, str]) -> None:
        super().__init__(persistent=True, users=users)
        self._settings = [_REPLAYING if setting == "user default off" else setting for setting in self._settings]


class Redis:
    """The one Redis. It is tied to the thread that starts it, so that it has one of its own."""

    def __init__(self, password: str) -> None:
        self._thread = ThreadPoolExecutor(1, "redis")
        self._server = _Server({"ttscache": password})
        self.lock = asyncio.Lock()

    async def open(self) -> None:
        await self.do(lambda server: server.__enter__())

    async def close(self) -> None:
        await self.do(lambda server: server.__exit__(None, None, None))
        self._thread.shutdown()

    async def do(self, act: Callable[[RedisServer], _Result]) -> _Result:
        return await asyncio.get_running_loop().run_in_executor(self._thread, act, self._server)

    @property
    def port(self) -> int:
        return self._server.port


@dataclass
class World:
    """Everything that the parts of a soak share."""

    directory: Path
    iam: WatchedIam
    iam_link: FaultProxy
    redis: Redis
    store_links: Mapping[str, FaultProxy]
    replicas: Mapping[str, Replica]
    people: list[Person]
    tokens: Mapping[str, str]
    secrets: Secrets
    timeline: Timeline = field(default_factory=Timeline)
    findings: Findings = field(default_factory=Findings)
    anchors: TrustAnchors | None = None
    iam_lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    def other(self, name: str) -> str:
        return next(each for each in NAMES if each != name)


@asynccontextmanager
async def running(directory: Path, count: int) -> AsyncIterator[World]:
    """Start everything; what runs ends with the block."""
    async with AsyncExitStack() as stack:
        crowd = people(count)
        config = IamConfig(
            users=tuple(each.user for each in crowd),
            signing=("ES256",),
            access_lifetime=6 * 3600,
            reuse_revokes_family=True,
        )
        keys = Keys.made(config)
        iam = WatchedIam(config)
        await iam.start()
        stack.push_async_callback(iam.stop)
        iam_link = await stack.enter_async_context(FaultProxy(iam.port))
        iam.stand_behind(iam_link.port)
        redis = Redis(keys.redis)
        await redis.open()
        stack.push_async_callback(redis.close)
        links = {name: await stack.enter_async_context(FaultProxy(redis.port)) for name in NAMES}
        write_secrets(directory, keys)
        replicas = {}
        for name in NAMES:
            # nobody else is given the port while the replica is down
            port = int(stack.enter_context(bound()).getsockname()[1])
            replica = replicas[name] = Replica(name, directory, port)
            write_configuration(replica.configuration, port=port, redis_port=links[name].port, iam_url=iam.url)
        made = await asyncio.to_thread(ttscache, "ca", "init", "-c", replicas["a"].configuration)
        assert made.status == 0, made.err
        for replica in replicas.values():
            stack.callback(replica.kill)
        tokens = {each.name: iam.token_for(each.name, scope=TOKEN_SCOPES, audience=AUDIENCE) for each in crowd}
        planted = _known_secrets(directory, keys)
        world = World(directory, iam, iam_link, redis, links, replicas, crowd, tokens, planted)
        await asyncio.gather(*(replica.start() for replica in replicas.values()))
        world.anchors = await _anchors(replicas["a"].url)
        yield world


def _known_secrets(directory: Path, keys: Keys) -> Secrets:
    known = Secrets()
    known.add("password of Redis", keys.redis)
    known.add("client secret", keys.client)
    for name, material in (("sealing key", keys.seal), ("pool's key", keys.condor)):
        for form in spelled(material):
            known.add(name, form)
    known.add_key("key of the CA", (directory / "ca" / "ca.key").read_text())
    return known


async def _anchors(url: str) -> TrustAnchors:
    async with aiohttp.ClientSession() as session, session.get(f"{url}/trust/anchors.tar.gz") as answer:
        archive = await answer.read()
    files = {}
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        for member in tar:
            content = tar.extractfile(member)
            assert content is not None
            files[member.name] = content.read()
    return TrustAnchors.from_files(files)
