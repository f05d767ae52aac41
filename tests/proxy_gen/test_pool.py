"""The key pool, driven by threads that wait for each other, never for the clock."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from proxy_gen import pool
from proxy_gen.keys import KeyKind, PrivateKey, generate_key, public_der
from proxy_gen.pool import KeyPool

# far longer than anything here takes
PATIENCE = 20.0


@contextmanager
def pooled(depth: int, kind: KeyKind = KeyKind.P_256) -> Iterator[KeyPool]:
    made = KeyPool(kind, depth)
    try:
        yield made
    finally:
        made.stop()


class Maker:
    """Key generation that goes on only when it is let."""

    def __init__(self) -> None:
        self.asked = threading.Semaphore(0)
        self.let = threading.Semaphore(0)
        self.made: list[PrivateKey] = []

    def __call__(self, kind: KeyKind) -> PrivateKey:
        self.asked.release()
        assert self.let.acquire(timeout=PATIENCE)
        self.made.append(generate_key(kind))
        return self.made[-1]

    def is_asked(self) -> bool:
        return self.asked.acquire(timeout=PATIENCE)


@pytest.fixture
def maker(monkeypatch: pytest.MonkeyPatch) -> Maker:
    found = Maker()
    monkeypatch.setattr(pool, "generate_key", found)
    return found


def test_it_fills_up_to_its_depth_and_refills(maker: Maker) -> None:
    with pooled(2) as keys:
        assert maker.is_asked()
        assert keys.take_ready() is None
        maker.let.release()
        assert maker.is_asked()
        assert len(keys) == 1
        maker.let.release(2)
        taken = None
        while taken is None:  # the second key arrives in its own time
            taken = keys.take_ready()
        assert taken is maker.made[0]
        assert maker.is_asked()
        maker.let.release(10)
    assert len(keys) == 0


def test_it_makes_no_more_than_its_depth(maker: Maker) -> None:
    maker.let.release(100)
    with pooled(3) as keys:
        for _ in range(3):
            assert maker.is_asked()
        for _ in range(5):
            while keys.take_ready() is None:
                pass
            assert maker.is_asked()
        assert len(keys) <= 3
    assert len(maker.made) == 8


def test_take_ready_does_not_wait_for_a_key_in_the_making(maker: Maker) -> None:
    with pooled(1) as keys:
        assert maker.is_asked()  # the thread is in the middle of it, and stays there
        with ThreadPoolExecutor(1) as other:
            assert other.submit(keys.take_ready).result(timeout=PATIENCE) is None
        maker.let.release()


def test_take_makes_a_key_itself_when_none_is_ready(maker: Maker) -> None:
    with pooled(1) as keys:
        assert maker.is_asked()
        with ThreadPoolExecutor(1) as other:
            taken = other.submit(keys.take)
            assert maker.is_asked()
            maker.let.release(2)
            assert taken.result(timeout=PATIENCE) in maker.made


def test_each_key_is_handed_out_once() -> None:
    start = threading.Barrier(8)

    def takes(keys: KeyPool) -> list[PrivateKey]:
        start.wait(PATIENCE)
        mixed = [keys.take() if number % 2 else keys.take_ready() for number in range(200)]
        return [taken for taken in mixed if taken is not None]

    with pooled(20) as keys, ThreadPoolExecutor(8) as herd:
        taken = [key for found in herd.map(takes, [keys] * 8) for key in found]
    assert len(taken) >= 8 * 100
    assert len({public_der(key.public_key()) for key in taken}) == len(taken)


def test_stop_ends_the_thread_and_forgets_the_keys(maker: Maker) -> None:
    keys = KeyPool(KeyKind.P_256, 5)
    thread = next(t for t in threading.enumerate() if t.name == "keys-p-256")
    maker.let.release(3)
    for _ in range(4):
        assert maker.is_asked()
    assert len(keys) == 3
    with ThreadPoolExecutor(1) as other:
        stopping = other.submit(keys.stop)
        maker.let.release()
        stopping.result(timeout=PATIENCE)
    assert not thread.is_alive()
    assert len(keys) == 0
    assert keys.take_ready() is None
    maker.let.release()
    assert keys.take() is maker.made[-1]
    keys.stop()  # a second time changes nothing


def test_a_pool_of_no_depth_makes_no_keys_ahead(maker: Maker) -> None:
    with pooled(0) as keys:
        assert keys.take_ready() is None
        maker.let.release()
        assert keys.take() is maker.made[0]
    assert len(maker.made) == 1


def test_keys_are_of_the_kind_asked_for() -> None:
    with pooled(1, KeyKind.ED25519) as keys:
        assert keys.kind is KeyKind.ED25519
        assert type(keys.take()) is type(generate_key(KeyKind.ED25519))
