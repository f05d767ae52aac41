"""Faults as they are done to the world. Each is in the time line before it begins, and until it is over."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping

from tests.soak.replica import Replica, ReplicaError
from tests.soak.schedule import Strike
from tests.soak.world import World
from tests.tools.faultproxy import Blackhole, Cut, FaultProxy, Latency, Mode, Pass, Reset, Slice
from ttscache.sandbox.iam import Fault

# how long a kill waits for a refresh to be under way
_REFRESH_SECONDS = 8.0
_HELD_SECONDS = 1.5
_TICK = 0.02
# an IAM's page instead of a token, and what a gateway before it says
_IAM: Mapping[str, tuple[Fault, ...]] = {
    "iam.slow": (Fault(delay=2.5),),
    "iam.errors": (Fault(status=500), Fault(endpoint="discovery", status=503), Fault(endpoint="jwks", status=502)),
    "iam.busy": (Fault(status=429, retry_after="2"),),
    "iam.html": (Fault(status=200, body="html"), Fault(endpoint="discovery", body="html")),
    "iam.reset": (Fault(reset=True), Fault(endpoint="jwks", reset=True)),
    "iam.lost": (Fault(grant="refresh_token", reset=True, late=True, times=2),),
    "iam.lost_behind_a_gateway": (Fault(status=502, body="html", late=True, times=2),),
}
_IAM_LINK: Mapping[str, Mode] = {
    "iam.link_blackhole": Blackhole(),
    "iam.link_reset": Reset(),
    "iam.link_cut": Cut(after=3000),
}
_STORE_LINK: Mapping[str, Mode] = {
    "store.blackhole": Blackhole(),
    "store.latency": Latency(0.4),
    "store.cut": Cut(after=2000),
    "store.reset": Reset(),
    "store.slice": Slice(7),
}


class Striker:
    """Does what the schedule says."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._links = {name: asyncio.Lock() for name in world.store_links}
        self._acts: dict[str, Callable[[Strike], Awaitable[None]]] = {
            "replica.kill": self._kill,
            "replica.kill_refreshing": self._kill_refreshing,
            "replica.term": self._terminate,
            "replica.reload": self._reload,
            "store.kill": self._kill_store,
            "store.hang": self._hang_store,
            "user.suspend": self._suspend,
            **dict.fromkeys(_IAM, self._spoil_iam),
            **dict.fromkeys(_IAM_LINK, self._spoil_iam_link),
            **dict.fromkeys(_STORE_LINK, self._spoil_store_link),
        }

    async def strike(self, strike: Strike) -> None:
        try:
            await self._acts[strike.kind](strike)
        except ReplicaError as error:
            self._world.findings.add("a replica does not obey", str(error))

    async def _kill(self, strike: Strike) -> None:
        replica = self._world.replicas[strike.target]
        async with replica.lock:
            await self._killed(replica, strike.seconds)

    async def _killed(self, replica: Replica, seconds: float) -> None:
        with self._world.timeline.during("replica.kill", replica.name):
            replica.kill()
            await asyncio.sleep(seconds)
            await replica.start()

    async def _kill_refreshing(self, strike: Strike) -> None:
        """Kill it while the IAM is at refreshes, which go on there."""
        world, replica = self._world, self._world.replicas[strike.target]
        async with replica.lock, world.iam_lock:
            with world.timeline.during("iam.holds_refreshes"):
                before = world.iam.counters.grants["refresh_token"]
                world.iam.faults.add(Fault(grant="refresh_token", delay=_HELD_SECONDS, times=6))
                for _ in range(int(_REFRESH_SECONDS / _TICK)):
                    if world.iam.counters.grants["refresh_token"] >= before + 2:
                        break
                    await asyncio.sleep(_TICK)
                with world.timeline.during("replica.kill", replica.name):
                    replica.kill()
                    await asyncio.sleep(max(_HELD_SECONDS, strike.seconds))
                    world.iam.faults.clear()
                    await replica.start()

    async def _terminate(self, strike: Strike) -> None:
        replica = self._world.replicas[strike.target]
        async with replica.lock:
            with self._world.timeline.during("replica.term", replica.name):
                try:
                    await replica.terminate()
                finally:
                    await asyncio.sleep(strike.seconds)
                    await replica.start()

    async def _reload(self, strike: Strike) -> None:
        replica = self._world.replicas[strike.target]
        async with replica.lock:
            with self._world.timeline.during("client.reload", replica.name):  # which nobody may notice
                replica.reload()
                await asyncio.sleep(strike.seconds)

    async def _kill_store(self, strike: Strike) -> None:
        redis = self._world.redis
        async with redis.lock:
            with self._world.timeline.during(strike.kind):
                await redis.do(lambda server: server.kill())
                await asyncio.sleep(strike.seconds)
                await redis.do(lambda server: server.start())

    async def _hang_store(self, strike: Strike) -> None:
        redis = self._world.redis
        async with redis.lock:
            with self._world.timeline.during(strike.kind):
                await redis.do(lambda server: server.pause())
                await asyncio.sleep(strike.seconds)
                await redis.do(lambda server: server.resume())

    async def _spoil_store_link(self, strike: Strike) -> None:
        async with self._links[strike.target]:
            with self._world.timeline.during(strike.kind, strike.target):
                await _spoil(self._world.store_links[strike.target], _STORE_LINK[strike.kind], strike.seconds)

    async def _spoil_iam_link(self, strike: Strike) -> None:
        async with self._world.iam_lock:
            with self._world.timeline.during(strike.kind):
                await _spoil(self._world.iam_link, _IAM_LINK[strike.kind], strike.seconds)

    async def _spoil_iam(self, strike: Strike) -> None:
        faults = self._world.iam.faults
        async with self._world.iam_lock:
            with self._world.timeline.during(strike.kind):
                for fault in _IAM[strike.kind]:
                    faults.add(fault)
                await asyncio.sleep(strike.seconds)
                faults.clear()

    async def _suspend(self, strike: Strike) -> None:
        name = self._world.people[int(strike.target)].name
        with self._world.timeline.during("user.suspend", name):
            self._world.iam.state.suspend(name)
            await asyncio.sleep(strike.seconds)
            self._world.iam.state.restore(name)


async def _spoil(link: FaultProxy, mode: Mode, seconds: float) -> None:
    link.mode = mode
    await asyncio.sleep(seconds)
    link.mode = Pass()
