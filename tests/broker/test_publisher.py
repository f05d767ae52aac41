"""The CA certificate and its CRL."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography import x509

from tests.broker.world import DAY, START, TOP, Clock, an_authority
from tests.tools import openssl
from tests.tools.minting import end_entity
from tests.tools.programs import run
from ttscache.authority.generations import Generations
from ttscache.broker.anchors import EngineAnchors, LocalAnchors
from ttscache.broker.publishing import Published, Publisher
from ttscache.broker.revocations import Revocations
from ttscache.errors import OverloadedError, StoreUnavailableError
from ttscache.net.deadline import Deadline
from ttscache.net.fetch import Fetcher
from ttscache.store.memory import MemoryStore
from ttscache.store.sqlite import SqliteStore
from ttscache.upstream.openbao import PkiEngine

CA = an_authority()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@contextlib.asynccontextmanager
async def replica(path: Path, clock: Clock) -> AsyncIterator[Publisher]:
    async with over(SqliteStore(path, clock), clock) as publisher:
        yield publisher


@contextlib.asynccontextmanager
async def over(store: SqliteStore, clock: Clock) -> AsyncIterator[Publisher]:
    source = LocalAnchors(
        Generations.of([CA]), (f"{TOP}/*",), DAY, store, clock, Revocations(store, clock, stale_for=60)
    )
    yield Publisher(source, lambda _: {}, clock)
    await store.close()


async def asked(publisher: Publisher) -> Published:
    """What is told to whoever asks after what was to be renewed has been."""
    await publisher.published(Deadline.after(5))
    await publisher.drain()
    return await publisher.published(Deadline.after(5))


def number(published: Published) -> int:
    assert published.crl_der is not None
    crl = x509.load_der_x509_crl(published.crl_der)
    return crl.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number


async def test_the_number_grows_with_each_day(tmp_path: Path, clock: Clock) -> None:
    async with replica(tmp_path / "s", clock) as publisher:
        numbers = []
        for _ in range(5):
            numbers.append(number(await asked(publisher)))
            assert number(await asked(publisher)) == numbers[-1]
            clock.time += DAY
        assert numbers == [1, 2, 3, 4, 5]


async def test_replicas_agree_and_a_restart_goes_on(tmp_path: Path, clock: Clock) -> None:
    path = tmp_path / "s"
    async with replica(path, clock) as one, replica(path, clock) as other:
        published = await asyncio.gather(*(asked(each) for each in (one, other) for _ in range(5)))
        assert len({each.crl_der for each in published}) == 1
        clock.time += DAY
        assert (await asked(one)).crl_der == (await asked(other)).crl_der
    async with replica(path, clock) as restarted:
        assert number(await asked(restarted)) == 2


@pytest.mark.parametrize("jump", [400 * DAY, -2 * DAY])
async def test_a_jump_of_the_clock(tmp_path: Path, clock: Clock, jump: float) -> None:
    async with replica(tmp_path / "s", clock) as publisher:
        numbers = [number(await asked(publisher))]
        for moment in (jump, 0.0):
            clock.time = START + moment
            published = await asked(publisher)
            numbers.append(number(published))
            assert published.crl_der is not None
            crl = x509.load_der_x509_crl(published.crl_der)
            now = datetime.fromtimestamp(clock.time, UTC)
            assert crl.next_update_utc is not None
            assert crl.last_update_utc <= now < crl.next_update_utc
        assert numbers == [1, 2, 3]


async def test_without_the_store_the_list_at_hand_goes_on_until_its_end(tmp_path: Path, clock: Clock) -> None:
    store = SqliteStore(tmp_path / "s", clock)
    async with over(store, clock) as publisher:
        first = await asked(publisher)
        await store.close()
        clock.time += 7 * DAY - 1
        assert await asked(publisher) == first
        clock.time += 1
        with pytest.raises(StoreUnavailableError):
            await asked(publisher)


async def test_openssl_takes_what_is_published(tmp_path: Path, clock: Clock) -> None:
    async with replica(tmp_path / "s", clock) as publisher:
        published = await asked(publisher)
    trust = tmp_path / "trust"
    trust.mkdir()
    for name, content in published.files.items():
        (trust / name).write_bytes(content)
    (tmp_path / "crl").write_bytes(published.crl_der or b"")
    (tmp_path / "ca").write_bytes(published.certificates_pem)
    checked = run(["openssl", "crl", "-inform", "DER", "-in", tmp_path / "crl", "-CAfile", tmp_path / "ca", "-noout"])
    assert "verify OK" in checked.text
    now = datetime.fromtimestamp(START, UTC)
    credential = end_entity(CA, f"{TOP}/CN=jane", now=now)
    assert openssl.verify(credential.to_pem(), trust, strict=True, crl_check=True, now=now)


async def test_nobody_queues_behind_an_engine_that_does_not_answer(clock: Clock) -> None:
    calls: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
    server = await asyncio.start_server(lambda *call: calls.append(call), "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    fetcher = Fetcher()
    engine = PkiEngine(url, "pki", "role", lambda: "token", fetcher)
    source = EngineAnchors(engine, ("/*",), DAY, MemoryStore(clock), clock)
    publisher = Publisher(source, lambda _: {"cms/host.lsc": b"x"}, clock)
    asking = [publisher.published(Deadline.after(1)) for _ in range(20)]
    told = await asyncio.gather(*asking, return_exceptions=True)
    assert {type(error) for error in told} == {OverloadedError}
    assert len(calls) == 1
    assert publisher.voms_files() == {"cms/host.lsc": b"x"}  # of which the engine knows nothing
    server.close()  # first, so that no second attempt finds a listener
    for _, writer in calls:
        writer.close()
        await writer.wait_closed()
    await publisher.drain()
    await fetcher.close()
    await server.wait_closed()
