"""Clients that keep asking, at either replica; a lost connection they try once more at the other."""

import asyncio
import random
import time

import aiohttp

from tests.soak.asks import Answer, Ask, garbage, good
from tests.soak.oracles import Oracles
from tests.soak.site import DEADLINE
from tests.soak.world import NAMES, World

_PAUSES = (0.02, 0.3)
_GARBAGE_SHARE = 0.08
_AWAY_SHARE = 0.08
_STAYS = 0.06
# nobody waits longer than the daemon's deadline; a busy machine adds to it
_PATIENCE = DEADLINE + 12.0


class Client:
    """One of them, with its own randomness."""

    def __init__(self, world: World, oracles: Oracles, rng: random.Random) -> None:
        self._world = world
        self._oracles = oracles
        self._rng = rng

    async def run(self, stop: asyncio.Event) -> None:
        async with session() as http:
            while not stop.is_set():
                await self._once(http)
                await asyncio.sleep(self._rng.uniform(*_PAUSES))

    async def _once(self, http: aiohttp.ClientSession) -> None:
        rng, world = self._rng, self._world
        person, replica, drawn = rng.choice(world.people), rng.choice(NAMES), rng.random()
        token = world.tokens[person.name]
        if drawn < _GARBAGE_SHARE:
            ask = garbage(rng, token)
            world.secrets.add("planted", ask.planted)
        else:
            ask = good(rng, person, token)
        if _GARBAGE_SHARE <= drawn < _GARBAGE_SHARE + _AWAY_SHARE:
            await self._goes_away(ask, replica)
            return
        if await ask_once(http, world, self._oracles, ask, replica) is None:
            await ask_once(http, world, self._oracles, ask, world.other(replica))

    async def _goes_away(self, ask: Ask, replica: str) -> None:
        """Ask, and be gone at some moment before the answer, or in it."""
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", self._world.replicas[replica].port)
        except OSError:
            return
        head = [f"{ask.method} {ask.path} HTTP/1.1", "Host: soak", f"Content-Length: {len(ask.body)}"]
        head += [f"{name}: {value}" for name, value in ask.headers.items()]
        whole = "\r\n".join([*head, "", ""]).encode() + ask.body
        writer.write(whole[: self._rng.randrange(len(whole)) if self._rng.random() < 0.3 else None])
        await asyncio.sleep(self._rng.uniform(0, _STAYS))
        writer.transport.abort()
        self._oracles.answers["gone away"] += 1


def session() -> aiohttp.ClientSession:
    """Return a session in which each request has a connection of its own: one that was kept says nothing of a loss."""
    timeout = aiohttp.ClientTimeout(total=_PATIENCE)
    return aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True, limit=0), timeout=timeout)


async def ask_once(
    http: aiohttp.ClientSession, world: World, oracles: Oracles, ask: Ask, replica: str
) -> Answer | None:
    """Return the answer, which has been judged; None when there was none."""
    began = time.time()
    url = world.replicas[replica].url + ask.path
    try:
        async with http.request(ask.method, url, headers=ask.headers, data=ask.body or None) as response:
            body = await response.read()
    except TimeoutError:
        oracles.unanswered(ask, replica, began)
        return None
    except (aiohttp.ClientError, OSError) as error:
        oracles.lost(ask, replica, began, type(error).__name__)
        return None
    answer = Answer(ask, replica, began, time.time(), response.status, body, response.headers.get("Retry-After"))
    oracles.answered(answer)
    return answer
