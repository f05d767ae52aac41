"""Wait until the demand of a pool is known, and workers of this site are in the pool; else say what is missing."""
# ruff: noqa: INP001 - runs in a pod, from its command line, with nothing but the standard library

import sys
import time
from urllib.request import urlopen

URL, PATIENCE = sys.argv[1], float(sys.argv[2])
UP, SLOTS = "stateless_site_collector_up{", "stateless_site_slots{"


def total(page: str, metric: str) -> float:
    """Add up what a page has of a metric."""
    return sum(float(line.rpartition(" ")[2]) for line in page.splitlines() if line.startswith(metric))


def missing() -> str:
    """Return what is not as it is to be."""
    try:
        with urlopen(URL, timeout=10) as answer:  # noqa: S310 - the chart's own URL
            page = answer.read().decode()
    except OSError as error:
        return f"{URL}: {error}"
    if not total(page, UP):
        return "no collector answers: their names, the IDTOKEN, the NetworkPolicy"
    if not total(page, SLOTS):
        return "collectors answer, and have no slot of this site: the log of a worker says why (MasterLog, StartLog)"
    return ""


deadline = time.monotonic() + PATIENCE
while (why := missing()) and time.monotonic() < deadline:
    time.sleep(2)
sys.exit(why or 0)
