"""Each store against a model, by whatever sequence of steps hypothesis finds."""

import asyncio
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test

from tests.store.benches import PASSING, STORES, Times, passing
from ttscache.store.base import ABSENT, ConflictError, Lease, Record

KEYS = st.sampled_from(["a", "b"])
SECONDS = st.integers(1, 30)


class StoreMachine(RuleBasedStateMachine):
    """The model: a dictionary of records and one of leases."""

    kind = "memory"

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.scratch = tempfile.TemporaryDirectory()
        self.times = Times()
        self.store = STORES[self.kind](Path(self.scratch.name), self.times)
        self.records: dict[str, Record] = {}
        self.leases: dict[str, tuple[Lease, float]] = {}
        self.given: list[Lease] = []
        self.versions = dict.fromkeys(("a", "b"), 0)
        self.fences = dict.fromkeys(("a", "b"), 0)

    def teardown(self) -> None:
        self.loop.run_until_complete(self.store.close())
        self.loop.close()
        self.scratch.cleanup()

    def alive(self, key: str) -> Record | None:
        record = self.records.get(key)
        return record if record is not None and record.expires_at > self.times.wall else None

    @rule(key=KEYS)
    def get(self, key: str) -> None:
        assert self.loop.run_until_complete(self.store.get(key)) == self.alive(key)

    @rule(prefix=st.sampled_from(["", "a", "b", "ab"]))
    def scan(self, prefix: str) -> None:
        async def scanned() -> list[tuple[str, Record]]:
            return [found async for found in self.store.scan(prefix)]

        alive = [(key, record) for key in sorted(self.records) if (record := self.alive(key)) is not None]
        wanted = [found for found in alive if found[0].startswith(prefix)]
        assert self.loop.run_until_complete(scanned()) == wanted

    @rule(
        key=KEYS,
        value=st.binary(max_size=20),
        life=SECONDS,
        condition=st.sampled_from(["any", "right", "absent", "old"]),
    )
    def put(self, key: str, value: bytes, life: int, condition: str) -> None:
        current = self.alive(key)
        now = ABSENT if current is None else current.version
        wanted = {"any": None, "right": now, "absent": ABSENT, "old": max(1, now - 1)}[condition]
        expires_at = self.times.wall + life
        work = self.store.put(key, value, expires_at=expires_at, if_version=wanted)
        if wanted is not None and wanted != now:
            with pytest.raises(ConflictError):
                self.loop.run_until_complete(work)
            return
        version = self.loop.run_until_complete(work)
        assert version > self.versions[key]
        self.versions[key] = version
        self.records[key] = Record(value, version, expires_at)

    @rule(key=KEYS)
    def delete(self, key: str) -> None:
        self.loop.run_until_complete(self.store.delete(key))
        self.records.pop(key, None)

    @rule(name=KEYS, seconds=SECONDS)
    def acquire(self, name: str, seconds: int) -> None:
        lease = self.loop.run_until_complete(self.store.acquire(name, seconds=seconds))
        held = self.leases.get(name)
        assert (lease is None) == (held is not None and held[1] > self.times.lease)
        if lease is not None:
            assert lease.fence > self.fences[name]
            self.fences[name] = lease.fence
            self.leases[name] = (lease, self.times.lease + seconds)
            self.given.append(lease)

    @rule(index=st.integers(0, 1000))
    def release(self, index: int) -> None:
        if not self.given:
            return
        lease = self.given[index % len(self.given)]
        self.loop.run_until_complete(self.store.release(lease))
        if lease.name in self.leases and self.leases[lease.name][0] == lease:
            del self.leases[lease.name]

    @rule(seconds=SECONDS)
    def elapse(self, seconds: int) -> None:
        elapsing = PASSING.get(self.kind, passing)
        self.loop.run_until_complete(elapsing(self.store, self.times, seconds))

    @rule()
    def sweep(self) -> None:
        self.loop.run_until_complete(self.store.sweep())


@pytest.mark.parametrize("kind", sorted(STORES))
def test_a_store_does_what_its_model_does(kind: str) -> None:
    machine = type("Machine", (StoreMachine,), {"kind": kind})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=15, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )
