"""What a site has in an HTCondor pool, and how much the pool's jobs want, for Prometheus and the autoscaler.

The bindings hold Python's lock for as long as a collector keeps them waiting, so each question is a process of its own
(this program with ``--once``), which can be ended. When none has answered for long, the numbers are left out and do not
become zero: an autoscaler that is told nothing leaves things as they are.
"""

from __future__ import annotations

import importlib
import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import click
from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

# every state that a slot can be in is told, so that a series does not come and go
STATES = ("owner", "unclaimed", "matched", "claimed", "preempting", "backfill", "drained")

_SLOT = ("Name", "State", "Activity", "Cpus")
_SUBMITTER = ("Name", "IdleJobs", "WeightedIdleJobs")
# a process of its own has to start as well
_START = 10.0

_log = logging.getLogger("condor")

Ad = Mapping[str, Any]


class AskError(Exception):
    """A collector gave no answer; the message says why."""


@dataclass(frozen=True, slots=True)
class Numbers:
    """What one answer comes to. Of a partitionable slot what is left of it counts; its parts are slots themselves."""

    slots: Mapping[str, int]
    cores: Mapping[str, float]
    idle_jobs: float
    idle_cores: float
    wanted_cores: float


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked: whose slots (everybody's without a site), whose jobs, and how many seconds it may take."""

    site: str | None = None
    jobs: str = "true"
    timeout: int = 20


def numbers(slots: Iterable[Ad], submitters: Iterable[Ad]) -> Numbers:
    """Add up ads of slots and of submitters.

    Wanted is what runs and what waits. What retires does not count: its worker is about to go, and takes no more jobs.
    Schedds weigh their idle jobs by the cores that these ask for; one that does not is taken to ask for one each.
    """
    count, cores, busy = dict.fromkeys(STATES, 0), dict.fromkeys(STATES, 0.0), 0.0
    for slot in slots:
        state, cpus = str(slot.get("State", "")).lower(), _number(slot.get("Cpus"))
        count[state] = count.get(state, 0) + 1
        cores[state] = cores.get(state, 0.0) + cpus
        if state == "claimed" and slot.get("Activity") != "Retiring":
            busy += cpus
    waiting = list(submitters)
    idle_jobs = sum(_number(ad.get("IdleJobs")) for ad in waiting)
    idle_cores = sum(_number(ad.get("WeightedIdleJobs", ad.get("IdleJobs"))) for ad in waiting)
    return Numbers(count, cores, idle_jobs, idle_cores, busy + idle_cores)


def slots_of(site: str | None) -> str:
    """Return the ClassAd expression for a site's slots.

    Queries know one escape, that of quotes; so names have no others (`_site`).
    """
    return "true" if site is None else f"GLIDEIN_Site =?= {_bindings('classad2').quote(site)}"


def ask(collector: str, question: Question) -> Numbers:
    """Ask a collector, in this process. Raises AskError."""
    condor, classad = _bindings("htcondor2"), _bindings("classad2")
    try:
        classad.ExprTree(question.jobs)
    except classad.ClassAdException as error:
        raise AskError(f"--jobs is no ClassAd expression: {question.jobs}") from error
    condor.param["QUERY_TIMEOUT"] = str(question.timeout)
    try:
        pool = condor.Collector(collector)
        slots = pool.query(condor.AdType.Startd, slots_of(question.site), list(_SLOT))
        submitters = pool.query(condor.AdType.Submitter, question.jobs, list(_SUBMITTER))
    except (condor.HTCondorException, ValueError) as error:
        raise AskError(str(error)) from error
    return numbers(slots, submitters)


def ask_apart(collector: str, question: Question) -> Numbers:
    """Ask a collector by a process of its own, and end that when it takes too long. Raises AskError."""
    argv = [sys.executable, "-m", __spec__.name, "--once", f"--collector={collector}", f"--jobs={question.jobs}"]
    argv += [f"--timeout={question.timeout}"] + ([f"--site={question.site}"] if question.site else [])
    try:
        done = subprocess.run(  # noqa: S603 - this program itself
            argv, capture_output=True, text=True, timeout=question.timeout + _START, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise AskError(f"no answer within {question.timeout} s") from error
    if done.returncode:
        raise AskError(" ".join(done.stderr.split()) or f"exit status {done.returncode}")
    return Numbers(**json.loads(done.stdout))


@dataclass(slots=True, eq=False)
class Watch(Collector):
    """What is known of the pool, as Prometheus reads it. Collectors are asked in turn; the first answer counts."""

    collectors: Sequence[str]
    asking: Callable[[str], Numbers]
    forget: float
    clock: Callable[[], float] = time.monotonic
    _known: Numbers | None = None
    _at: float = 0.0
    _success: float | None = None
    _up: dict[str, bool] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def turn(self) -> None:
        """Ask once around."""
        for collector in self.collectors:
            try:
                known = self.asking(collector)
            except AskError as error:
                self._tell(collector, up=False, why=str(error))
                continue
            self._tell(collector, up=True)
            with self._lock:
                self._known, self._at, self._success = known, self.clock(), time.time()
            return

    def collect(self) -> Iterator[Metric]:
        """Yield what there is to tell now."""
        with self._lock:
            known = self._known if self.clock() - self._at < self.forget else None
            success, up = self._success, dict(self._up)
        yield _gauge("stateless_site_collector_up", "Whether it answered when asked last.", up, "collector")
        if success is not None:
            text = "When a collector answered last."
            yield GaugeMetricFamily("stateless_site_last_success_timestamp_seconds", text, success)
        if known is not None:
            yield from _gauges(known)

    def _tell(self, collector: str, *, up: bool, why: str = "") -> None:
        with self._lock:
            before = self._up.get(collector)
            self._up[collector] = up
        if up != before:
            _log.info("%s answers", collector) if up else _log.warning("%s does not answer: %s", collector, why)


def _gauges(known: Numbers) -> Iterator[Metric]:
    yield _gauge("stateless_site_slots", "Slots by state.", known.slots, "state")
    yield _gauge("stateless_site_cores", "Cores of slots by state.", known.cores, "state")
    for name, text in (
        ("idle_jobs", "Jobs that wait."),
        ("idle_cores", "Cores that the jobs ask for that wait."),
        ("wanted_cores", "Cores that are claimed, and that waiting jobs ask for."),
    ):
        yield GaugeMetricFamily(f"stateless_site_{name}", text, getattr(known, name))


def _gauge(name: str, text: str, values: Mapping[str, float], label: str) -> Metric:
    family = GaugeMetricFamily(name, text, labels=[label])
    for key, value in values.items():
        family.add_metric([key], float(value))
    return family


def _number(value: object) -> float:
    """Return a number of an ad; anything else counts nothing (`undefined` is an enumeration's integer, here)."""
    return float(value) if type(value) is int or type(value) is float else 0.0


def _bindings(name: str) -> Any:  # noqa: ANN401 - a library without types
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise AskError("HTCondor's bindings are not installed: pip install 'ttscache[condor]'") from error


def _site(_: click.Context, __: click.Parameter, text: str | None) -> str | None:
    if text is not None and ("\\" in text or not (text.isascii() and text.isprintable())):
        raise click.BadParameter("printable ASCII without backslashes")
    return text or None


def _listen(_: click.Context, __: click.Parameter, text: str) -> tuple[str, int]:
    host, _colon, port = text.rpartition(":")
    if not host or not port.isdecimal() or int(port) > 65535:  # noqa: PLR2004 - the last port
        raise click.BadParameter("HOST:PORT")
    return host.strip("[]"), int(port)


@click.command(help=__doc__)
@click.option(
    "--collector", "collectors", multiple=True, required=True, help="HOST[:PORT]; the next is asked when one is away."
)
@click.option("--site", callback=_site, help="Count slots with this GLIDEIN_Site; without it, all of the pool.")
@click.option(
    "--jobs", default="true", show_default=True, help="Count idle jobs of submitters for which this expression holds."
)
@click.option(
    "--listen", default="127.0.0.1:9118", show_default=True, callback=_listen, help="Where metrics are: HOST:PORT."
)
@click.option("--interval", default=60, show_default=True, type=click.IntRange(1), help="Seconds between questions.")
@click.option("--timeout", default=20, show_default=True, type=click.IntRange(1), help="Seconds for an answer.")
@click.option(
    "--forget", default=600, show_default=True, type=click.IntRange(1), help="Seconds that an answer counts for."
)
@click.option("--once", is_flag=True, help="Ask once, print the numbers as JSON, and end.")
def main(
    *,
    collectors: tuple[str, ...],
    site: str | None,
    jobs: str,
    listen: tuple[str, int],
    interval: int,
    timeout: int,
    forget: int,
    once: bool,
) -> None:
    """Serve the numbers until SIGTERM, or print them once."""
    question = Question(site, jobs, timeout)
    if once:
        _print(collectors, question)
        return
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s")
    # as a container's first process it ends by what it handles alone; a question under way is ended with it
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    # without a configuration the bindings would look for one in several places, and warn
    os.environ.setdefault("CONDOR_CONFIG", os.devnull)
    watch = Watch(collectors, lambda collector: ask_apart(collector, question), forget)
    registry = CollectorRegistry()
    registry.register(watch)
    server, _ = start_http_server(listen[1], listen[0], registry)
    _log.info("metrics at http://%s:%d/metrics", listen[0], server.server_port)
    while True:
        began = time.monotonic()
        watch.turn()
        time.sleep(max(0.0, interval - (time.monotonic() - began)))


def _print(collectors: Iterable[str], question: Question) -> None:
    for collector in collectors:
        try:
            click.echo(json.dumps(asdict(ask(collector, question))))
            return
        except AskError as error:
            click.echo(f"{collector}: {error}", err=True)
    sys.exit(1)


if __name__ == "__main__":
    main()
