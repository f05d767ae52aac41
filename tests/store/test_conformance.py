"""What every store does, whichever it is."""

import asyncio

import pytest

from tests.store.benches import Bench
from ttscache.store.base import ABSENT, ConflictError, Lease

HOUR = 3600.0


async def put(bench: Bench, key: str, value: bytes, if_version: int | None = None, *, life: float = HOUR) -> int:
    return await bench.store.put(key, value, expires_at=bench.now + life, if_version=if_version)


async def taken(bench: Bench, name: str, seconds: float = 10.0) -> Lease:
    lease = await bench.store.acquire(name, seconds=seconds)
    assert lease is not None
    return lease


async def test_nothing_is_there_at_first(bench: Bench) -> None:
    assert await bench.store.get("a") is None


async def test_what_is_put_is_there(bench: Bench) -> None:
    version = await put(bench, "a", b"one")
    record = await bench.store.get("a")
    assert record is not None
    assert (record.value, record.version, record.expires_at) == (b"one", version, bench.now + HOUR)
    assert version > ABSENT


@pytest.mark.parametrize("value", [b"", b"\x00\xff" * 3, b"x" * 300_000], ids=["empty", "binary", "large"])
async def test_any_bytes(bench: Bench, value: bytes) -> None:
    await put(bench, "a", value)
    record = await bench.store.get("a")
    assert record is not None
    assert record.value == value


@pytest.mark.parametrize("key", ["a/b c", "ü", "'; DROP TABLE records; --", "k" * 500])
async def test_any_key(bench: Bench, key: str) -> None:
    await put(bench, key, b"v")
    assert await bench.store.get(key) is not None
    assert await bench.store.get(key.upper() + "x") is None


async def test_versions_grow_and_never_come_again(bench: Bench) -> None:
    versions = [await put(bench, "a", b"1"), await put(bench, "a", b"2")]
    await bench.store.delete("a")
    versions.append(await put(bench, "a", b"3", life=1.0))
    await bench.elapse(2)
    versions.append(await put(bench, "a", b"4", ABSENT))
    assert versions == sorted(set(versions))


async def test_delete(bench: Bench) -> None:
    await put(bench, "a", b"1")
    await put(bench, "b", b"2")
    await bench.store.delete("a")
    await bench.store.delete("never there")
    assert await bench.store.get("a") is None
    assert await bench.store.get("b") is not None


async def test_life_ends_on_time(bench: Bench) -> None:
    await put(bench, "a", b"1", life=10)
    await bench.elapse(9)
    assert await bench.store.get("a") is not None
    await bench.elapse(1)
    assert await bench.store.get("a") is None


async def test_put_renews_a_life(bench: Bench) -> None:
    await put(bench, "a", b"1", life=10)
    await put(bench, "a", b"2", life=100)
    await bench.elapse(50)
    assert await bench.store.get("a") is not None


async def scanned(bench: Bench, prefix: str) -> dict[str, bytes]:
    return {key: record.value async for key, record in bench.store.scan(prefix)}


async def test_a_scan_gives_what_begins_so_in_order(bench: Bench) -> None:
    keys = ["owner/b", "owner/a", "owner", "owners", "owner/\u00fc", "owner/\U0001f600", "Owner/c", "owner/%_", "p"]
    for key in keys:
        await put(bench, key, key.encode())
    wanted = sorted(key for key in keys if key.startswith("owner/"))
    assert list((await scanned(bench, "owner/")).items()) == [(key, key.encode()) for key in wanted]
    assert list(await scanned(bench, "")) == sorted(keys)
    assert await scanned(bench, "nothing") == {}


async def test_a_scan_gives_whole_records(bench: Bench) -> None:
    await put(bench, "a", b"1")
    version = await put(bench, "a", b"2", life=10)
    (found,) = [each async for each in bench.store.scan("a")]
    assert found == ("a", await bench.store.get("a"))
    assert (found[1].version, found[1].expires_at) == (version, bench.now + 10)


async def test_a_scan_passes_over_what_has_ended(bench: Bench) -> None:
    await put(bench, "a1", b"1", life=10)
    await put(bench, "a2", b"2", life=100)
    await put(bench, "a3", b"3")
    await bench.store.delete("a3")
    await bench.elapse(10)
    assert await scanned(bench, "a") == {"a2": b"2"}


async def test_a_scan_of_many_may_be_left_and_written_under(bench: Bench) -> None:
    keys = [f"k{i:04}" for i in range(520)]  # more than a page
    for key in keys:
        await put(bench, key, b"")
    async for key, _ in bench.store.scan("k"):
        assert key == "k0000"
        break
    seen = []
    async for key, _ in bench.store.scan("k"):
        seen.append(key)
        await bench.store.delete(key)
        await put(bench, "j" + key, b"")
    assert seen == keys
    assert len(await scanned(bench, "jk")) == len(keys)


async def test_compare_and_set(bench: Bench) -> None:
    first = await put(bench, "a", b"1", ABSENT)
    second = await put(bench, "a", b"2", first)
    for stale in (first, ABSENT, second + 1):
        with pytest.raises(ConflictError):
            await put(bench, "a", b"3", stale)
    record = await bench.store.get("a")
    assert record is not None
    assert record.value == b"2"


async def test_compare_and_set_on_what_is_gone(bench: Bench) -> None:
    version = await put(bench, "a", b"1", life=10)
    await bench.elapse(10)
    with pytest.raises(ConflictError):
        await put(bench, "a", b"2", version)
    await put(bench, "a", b"2", ABSENT)


async def test_a_conflict_leaves_everything_as_it_was(bench: Bench) -> None:
    with pytest.raises(ConflictError):
        await put(bench, "a", b"1", 7)
    assert await bench.store.get("a") is None
    await put(bench, "b", b"2")  # and the store goes on


async def test_one_of_many_writers_wins(bench: Bench) -> None:
    version = await put(bench, "a", b"0")
    writers = (put(bench, "a", str(i).encode(), version) for i in range(50))
    outcomes = await asyncio.gather(*writers, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes].count(ConflictError) == 49


async def test_increments_are_not_lost(bench: Bench) -> None:
    await put(bench, "counter", b"0")

    async def increment() -> None:
        while True:
            record = await bench.store.get("counter")
            assert record is not None
            try:
                await put(bench, "counter", str(int(record.value) + 1).encode(), record.version)
            except ConflictError:
                continue
            return

    await asyncio.gather(*(increment() for _ in range(20)))
    record = await bench.store.get("counter")
    assert record is not None
    assert record.value == b"20"


async def test_each_reader_gets_its_own_answer_although_others_go_away(bench: Bench) -> None:
    keys = [f"key-{i}" for i in range(200)]
    for key in keys[::20]:
        await put(bench, key, key.encode())
    asked = [asyncio.create_task(bench.store.get(key)) for key in keys]
    await asyncio.sleep(0)
    for task in asked[1::2]:
        task.cancel()
    answers = await asyncio.gather(*asked, return_exceptions=True)
    for index, (key, answer) in enumerate(zip(keys, answers, strict=True)):
        if isinstance(answer, BaseException):
            assert isinstance(answer, asyncio.CancelledError)
        elif index % 20 == 0:
            assert answer is not None
            assert answer.value == key.encode()
        else:
            assert answer is None


async def test_a_write_whose_caller_goes_away_is_whole_or_not_there(bench: Bench) -> None:
    writers = [asyncio.create_task(put(bench, f"w{i}", b"x" * 1000)) for i in range(50)]
    await asyncio.sleep(0)
    for writer in writers:
        writer.cancel()
    await asyncio.gather(*writers, return_exceptions=True)
    for i in range(50):
        record = await bench.store.get(f"w{i}")
        assert record is None or record.value == b"x" * 1000


async def test_a_lease_is_exclusive(bench: Bench) -> None:
    lease = await taken(bench, "a")
    assert await bench.store.acquire("a", seconds=10) is None
    await taken(bench, "b")
    await bench.store.release(lease)
    await taken(bench, "a")


async def test_one_of_many_gets_the_lease(bench: Bench) -> None:
    won = await asyncio.gather(*(bench.store.acquire("a", seconds=10) for _ in range(50)))
    assert sum(lease is not None for lease in won) == 1


async def test_a_lease_ends_by_itself(bench: Bench) -> None:
    await taken(bench, "a", seconds=10)
    await bench.elapse(9)
    assert await bench.store.acquire("a", seconds=10) is None
    await bench.elapse(1)
    await taken(bench, "a")


async def test_release_by_one_who_lost_it_does_nothing(bench: Bench) -> None:
    lost = await taken(bench, "a", seconds=10)
    await bench.elapse(10)
    await taken(bench, "a")
    await bench.store.release(lost)
    assert await bench.store.acquire("a", seconds=10) is None


async def test_release_twice(bench: Bench) -> None:
    lease = await taken(bench, "a")
    await bench.store.release(lease)
    await bench.store.release(lease)
    await taken(bench, "a")


async def test_fences_grow(bench: Bench) -> None:
    fences = []
    for _ in range(5):
        lease = await taken(bench, "a")
        fences.append(lease.fence)
        await bench.store.release(lease)
    await bench.store.sweep()
    fences.append((await taken(bench, "a")).fence)
    assert fences == sorted(set(fences))


@pytest.mark.parametrize("jump", [86400.0, -86400.0])
async def test_a_jump_of_the_wall_clock_gives_no_lease_to_two(bench: Bench, jump: float) -> None:
    lease = await taken(bench, "a")
    bench.times.wall += jump
    assert await bench.store.acquire("a", seconds=10) is None
    await bench.store.sweep()
    assert await bench.store.acquire("a", seconds=10) is None
    await bench.store.release(lease)
    await taken(bench, "a")


async def test_sweep_takes_what_has_ended_and_nothing_else(bench: Bench) -> None:
    await put(bench, "short", b"1", life=10)
    await put(bench, "long", b"2", life=100)
    held = await taken(bench, "held", seconds=100)
    await bench.elapse(10)
    await bench.store.sweep()
    assert await bench.store.get("short") is None
    assert await bench.store.get("long") is not None
    assert await bench.store.acquire("held", seconds=1) is None
    bench.times.wall -= 10  # had it only been hidden, it would be seen again
    assert await bench.store.get("short") is None
    await bench.store.release(held)


async def test_closing_twice(bench: Bench) -> None:
    await put(bench, "a", b"1")
    await bench.store.close()
    await bench.store.close()
