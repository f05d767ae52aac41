"""One soak, from its start to its report."""

import asyncio
import contextlib
import itertools
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import aiohttp

from tests.soak.asks import every_kind
from tests.soak.clients import Client, ask_once, session
from tests.soak.credentials import Judge
from tests.soak.logs import Logs
from tests.soak.losses import LOST, Losses, account, require_suspended
from tests.soak.oracles import SETTLE, Oracles
from tests.soak.replica import ReplicaError
from tests.soak.schedule import Strike
from tests.soak.site import Person
from tests.soak.strikes import Striker
from tests.soak.world import World, running

_READY_SECONDS = 20.0
_MOST_TOLD = 12
_AGAIN = 0.3
_OK = 200


@dataclass(frozen=True)
class Size:
    """How many people and clients there are, and how long the strikes are waited for after the last."""

    persons: int = 20
    clients: int = 6


@dataclass
class Soak:
    """A soak that is under way."""

    seed: int
    world: World
    oracles: Oracles
    logs: Logs

    def line(self) -> str:
        """Return how things are, in one line."""
        counts, now = self.oracles.answers, time.time()
        good = sum(count for name, count in counts.items() if name.endswith(f" {_OK}"))
        on = [f"{one.kind} {one.target}".strip() for one in self.world.timeline.disturbances if one.ended is None]
        refreshed = self.world.iam.counters.granted["refresh_token"]
        lost = sum(event.fields["reason"] == LOST for event in self.logs.of("session_ended"))
        begun = self.world.timeline.started
        return (
            f"{now - begun:5.0f} s  {good} granted of {counts.total()}, {refreshed} refreshed, {lost} lost,"
            f" {self.world.findings.count} findings  {', '.join(on)}"
        )


async def soak(
    seed: int, strikes: Sequence[Strike], directory: Path, tell: Callable[[Soak], None], size: Size = Size()
) -> dict[str, Any]:
    """Run it and return the report; `ok` says whether nothing was found."""
    async with running(directory, size.persons) as world:
        assert world.anchors is not None
        judge = Judge(world.anchors, (directory / "condor.key").read_bytes())
        this = Soak(seed, world, Oracles(world, judge), Logs(world))
        stop = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            watching = group.create_task(_watch(this, tell))
            for number in range(size.clients):
                rng = random.Random(f"client {number} of {seed}")  # noqa: S311 - no secret
                group.create_task(Client(world, this.oracles, rng).run(stop))
            await _strike_all(world, strikes)
            await _recovered(world)
            stop.set()
            await _everybody_is_served(this)
            watching.cancel()
        await _ended(world)
        this.logs.read()
        this.logs.again()
        losses = account(world, this.logs, this.oracles)
        require_suspended(world, this.logs, this.oracles)
        return _report(this, strikes, losses)


async def _watch(this: Soak, tell: Callable[[Soak], None]) -> None:
    while True:
        await asyncio.sleep(1.0)
        this.logs.read()
        tell(this)


async def _strike_all(world: World, strikes: Sequence[Strike]) -> None:
    striker = Striker(world)
    begun = time.monotonic()
    async with asyncio.TaskGroup() as group:
        for strike in strikes:
            await asyncio.sleep(max(0.0, begun + strike.at - time.monotonic()))
            group.create_task(striker.strike(strike))


async def _recovered(world: World) -> None:
    """Wait until both replicas say that all is well."""
    deadline = time.monotonic() + _READY_SECONDS
    async with session() as http:
        for replica in world.replicas.values():
            told = ""
            while '"ok"' not in told.partition("dependencies")[0]:
                if time.monotonic() > deadline:
                    world.findings.add("a replica has not recovered", f"{replica.name}: {told}")
                    return
                with contextlib.suppress(OSError):
                    async with http.get(f"{replica.url}/readyz") as answer:
                        told = await answer.text()
                await asyncio.sleep(0.1)


async def _everybody_is_served(this: Soak) -> None:
    """Before the effects of what has ended may last no longer, everybody gets everything everywhere."""
    async with session() as http:
        await asyncio.gather(*(_is_served(http, this, person) for person in this.world.people))


async def _is_served(http: aiohttp.ClientSession, this: Soak, person: Person) -> None:
    asks = every_kind(person, this.world.tokens[person.name])
    deadline = time.monotonic() + SETTLE
    for ask, replica in itertools.product(asks, this.world.replicas):
        answer = await ask_once(http, this.world, this.oracles, ask, replica)
        while answer is not None and answer.status != _OK and time.monotonic() < deadline:
            await asyncio.sleep(_AGAIN)
            answer = await ask_once(http, this.world, this.oracles, ask, replica)
        if answer is None or answer.status != _OK:
            what = f"{ask.kind}: nothing" if answer is None else answer.told()
            this.world.findings.add("somebody is not served in the end", what)
            return


async def _ended(world: World) -> None:
    for replica in world.replicas.values():
        try:
            await replica.terminate()
        except ReplicaError as error:
            world.findings.add("a replica does not obey", str(error))


def _report(this: Soak, strikes: Sequence[Strike], losses: Losses) -> dict[str, Any]:
    world, findings = this.world, this.world.findings
    kinds = [one.kind for one in world.timeline.disturbances]
    counts = this.logs.counts
    granted = world.iam.counters.granted
    return {
        "ok": findings.count == 0,
        "seed": this.seed,
        "seconds": round(time.time() - world.timeline.started, 1),
        "answers": dict(sorted(this.oracles.answers.items())),
        "slowest_answer_seconds": round(this.oracles.slowest, 2),
        "strikes": len(strikes),
        "disturbances": {kind: kinds.count(kind) for kind in sorted(set(kinds))},
        "sessions": {
            "opened": counts["session_opened"],
            "exchanged_at_the_iam": granted["token_exchange"],
            "refreshed_at_the_iam": granted["refresh_token"],
            **{name: value for name, value in asdict(losses).items() if name != "causes"},
            "refused_to_the_suspended": sum(map(len, world.iam.refusals.values())),
            "spent_tokens_that_came_again": dict(losses.causes),
        },
        "request_ids_of_several_people": this.logs.shared_ids(),
        "log_lines": dict(sorted(counts.items())),
        "starts": {name: replica.starts for name, replica in world.replicas.items()},
        "findings": findings.count,
        "told": [
            {
                "what": one.what,
                "detail": one.detail,
                "second": round(one.at - world.timeline.started, 2),
                "disturbances": world.timeline.around(one.at),
                "logs": this.logs.around(one.at),
            }
            for one in findings.kept[:_MOST_TOLD]
        ],
    }
