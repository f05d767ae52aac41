"""`python -m tests.soak`: ten minutes of faults under load, or as many as one likes; a JSON report in the end."""

import argparse
import asyncio
import json
import secrets
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tests.soak.run import Size, Soak, soak
from tests.soak.schedule import KINDS, plan

_WIDTH = 118
_QUIET_SECONDS = 15.0


def main() -> int:
    """Run it; the exit status is 1 when something was found."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description="Two replicas under load and faults.")
    parser.add_argument("--minutes", type=float, default=10.0, help="how long faults are injected (10)")
    parser.add_argument("--seed", type=int, default=secrets.randbelow(10**6), help="what the faults are drawn from")
    parser.add_argument("--persons", type=int, default=20)
    parser.add_argument("--clients", type=int, default=6)
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS), metavar="KIND", help="faults to draw")
    parser.add_argument("--keep", action="store_true", help="keep the directory with the logs")
    given = parser.parse_args()
    strikes = plan(given.seed, given.minutes * 60, persons=given.persons, kinds=given.kinds)
    directory = Path(tempfile.mkdtemp(prefix="soak-"))
    _say(f"seed {given.seed}, {len(strikes)} strikes, logs in {directory}\n")
    report = asyncio.run(soak(given.seed, strikes, directory, _teller(), Size(given.persons, given.clients)))
    _say("\n")
    sys.stdout.write(json.dumps(report, indent=2) + "\n")
    if report["ok"] and not given.keep:
        shutil.rmtree(directory)
    else:
        _say(f"logs in {directory}\n")
    return 0 if report["ok"] else 1


def _teller() -> Callable[[Soak], None]:
    """Return what tells how things are: on a terminal each second in one line, elsewhere now and then."""
    if sys.stderr.isatty():
        return lambda this: _say(f"\r{this.line()[:_WIDTH]:{_WIDTH}}")
    told = [time.monotonic()]

    def tell(this: Soak) -> None:
        if time.monotonic() - told[0] >= _QUIET_SECONDS:
            told[0] = time.monotonic()
            _say(f"{this.line()}\n")

    return tell


def _say(text: str) -> None:
    sys.stderr.write(text)
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main())
