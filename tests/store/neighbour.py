"""Another process on the same SQLite file: `python -m tests.store.neighbour FILE lease|write`.

`lease` takes the lease "a", says so and stays; `write` writes record after record and tells of each one that is kept.
"""

import asyncio
import itertools
import sys
import time
from pathlib import Path

from ttscache.store.sqlite import SqliteStore


def content(number: int) -> bytes:
    """What record `number` holds: of a length at which a torn one would show."""
    return str(number).encode().rjust(10, b"0") * (1 + number % 700)


async def main(path: Path, task: str) -> None:
    store = SqliteStore(path, time.time)
    if task == "lease":
        lease = await store.acquire("a", seconds=3600)
        print("held" if lease is not None else "refused", flush=True)  # noqa: T201 - what the test reads
        sys.stdin.read()
        await store.close()
        return
    for number in itertools.count():
        await store.put(f"r{number % 10}", content(number), expires_at=time.time() + 3600)
        print(number, flush=True)  # noqa: T201 - what the test reads


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2]))
