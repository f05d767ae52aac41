"""What an XRootD server does, for Prometheus and the autoscaler.

XRootD sends datagrams: its summary as XML (`xrd.report`), and lines of JSON about the files that a cache has closed
(`xrootd.mongstream pfc`), since the summary of a cache has zeros for what it read from where. Both come to one port of
the loopback address. A datagram that is none of these is counted and otherwise ignored.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias
from xml.etree import ElementTree as ET

import click
from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

# a datagram cannot be longer
_LONGEST = 65535
# of the elements of a report below its parts
_DEEPEST = 3
# Prometheus keeps floats, which are exact up to here; XRootD's own counters are 64 bits
_LARGEST = 2**53
_SOURCES = ("hit", "miss", "bypass")
# the summary's own names, by program: xrootd serves files, cmsd knows who has which
_SERVER, _MANAGER = "xrootd", "cmsd"
_PROGRAMS = (_SERVER, _MANAGER)

# authenticated, unauthenticated, authentication failed
_LOGINS = {"authenticated": "xrootd/lgn/au", "anonymous": "xrootd/lgn/ua", "failed": "xrootd/lgn/af"}
_COUNTERS = (
    ("xrootd_network_bytes", "Bytes of clients' connections.", "direction", {"in": "link/in", "out": "link/out"}),
    ("xrootd_logins", "Logins by how they ended.", "outcome", _LOGINS),
)
_PLAIN_COUNTERS = (
    ("xrootd_opens", "Files opened.", "xrootd/ops/open"),
    ("xrootd_errors", "Requests that were answered with an error.", "xrootd/err"),
)

_log = logging.getLogger("xrootd")

Address: TypeAlias = tuple[str, int]


class DatagramError(ValueError):
    """This is no datagram of XRootD's monitoring; the message says why."""


@dataclass(frozen=True, slots=True)
class Summary:
    """One report: ``numbers`` by their place in it, such as `link/in`; ``started`` is when the program was."""

    program: str
    version: str
    started: float
    numbers: Mapping[str, float]

    @classmethod
    def parse(cls, datagram: bytes) -> Summary:
        """Read a report. Raises DatagramError."""
        # what is declared could stand for gigabytes; XRootD declares nothing, and begins so in UTF-8
        if not datagram.startswith(b"<statistics ") or b"<!" in datagram:
            raise DatagramError("not a summary")
        try:
            root = ET.fromstring(datagram.rstrip(b"\0"))  # noqa: S314 - nothing is declared, and it is short
        except (ET.ParseError, ValueError) as error:
            raise DatagramError("not XML") from error
        program = root.get("pgm", "")
        if program not in _PROGRAMS:
            raise DatagramError("not of xrootd or cmsd")
        numbers = {path: value for part in root for path, value in _numbers(part, part.get("id", ""))}
        return cls(program, root.get("ver", ""), float(_whole(root.get("tos"))), numbers)


def _numbers(part: ET.Element, path: str, depth: int = 0) -> Iterator[tuple[str, float]]:
    """Yield the numbers of a part and below it by their places; what lies deeper than XRootD's own is left out."""
    yield path, float(_whole(part.text))
    for child in part if depth < _DEEPEST else ():
        yield from _numbers(child, f"{path}/{child.get('id') or child.tag}", depth + 1)


def closed(datagram: bytes) -> dict[str, int]:
    """Return bytes by source from what a cache says of the files that it closed. Raises DatagramError.

    It says who it is first (code `=`), and now and then again; there are no files in that.
    """
    try:
        head, *events = [json.loads(line) for line in datagram.rstrip(b"\0").splitlines() if line.strip()]
        if head["code"] != "=" and (head["code"], head["gs"]["type"]) != ("g", "C"):
            raise DatagramError("not of a cache")
        files = [event for event in events if event["event"] == "file_close"]
        return {source: sum(_count(event[f"b_{source}"]) for event in files) for source in _SOURCES}
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise DatagramError("not a cache's lines of JSON") from error


def _count(value: object) -> int:
    if type(value) is not int or not 0 <= value <= _LARGEST:
        raise DatagramError("not a number of bytes")
    return value


def _whole(text: str | None) -> int:
    """Return a number, or 0 for what is none. 5.5.3 writes `<hits>0></hits>`."""
    digits = (text or "").strip().rstrip(">")
    return int(digits) if digits.isascii() and digits.isdecimal() and len(digits) <= len(str(2**64)) else 0


@dataclass(slots=True, eq=False)
class Watch(Collector):
    """What is known of the server, as Prometheus reads it.

    A report counts for ``stale`` seconds; then its numbers are left out, and an autoscaler that is told nothing leaves
    things as they are. ``disk`` is a path on the volume whose room is told. Of a ``cache`` it is told what was there.
    """

    disk: str | None
    cache: bool
    stale: float
    clock: Callable[[], float] = time.monotonic
    _known: dict[str, tuple[float, Summary]] = field(default_factory=dict)
    _read: dict[str, int] = field(default_factory=lambda: dict.fromkeys(_SOURCES, 0))
    _taken: int = 0
    _refused: int = 0
    _last: float | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def take(self, datagram: bytes) -> None:
        """Take up what came."""
        try:
            if datagram.startswith(b"{"):
                self._add(closed(datagram))
            else:
                self._set(Summary.parse(datagram))
        except DatagramError as error:
            with self._lock:
                self._refused += 1
                first = self._refused == 1
            if first:
                _log.warning("a datagram of %d bytes is not taken: %s; others are only counted", len(datagram), error)

    def _add(self, read: Mapping[str, int]) -> None:
        with self._lock:
            self._taken += 1
            self._read = {source: self._read[source] + read[source] for source in _SOURCES}

    def _set(self, summary: Summary) -> None:
        with self._lock:
            self._taken += 1
            self._last = time.time()
            self._known[summary.program] = self.clock(), summary

    def collect(self) -> Iterator[Metric]:
        """Yield what there is to tell now."""
        with self._lock:
            fresh = {name: told for name, (at, told) in self._known.items() if self.clock() - at < self.stale}
            read, datagrams, last = dict(self._read), {"taken": self._taken, "refused": self._refused}, self._last
        yield GaugeMetricFamily("xrootd_up", "Whether xrootd has reported lately.", float(_SERVER in fresh))
        yield _counters("xrootd_datagrams", "Datagrams that came.", "result", datagrams)
        if last is not None:
            yield GaugeMetricFamily("xrootd_last_report_timestamp_seconds", "When a report came last.", last)
        if _SERVER in fresh:
            yield from _server(fresh[_SERVER])
        if _MANAGER in fresh and "cmsm/node" in fresh[_MANAGER].numbers:
            number = fresh[_MANAGER].numbers["cmsm/node"]
            yield GaugeMetricFamily("xrootd_cluster_servers", "Servers that have subscribed.", number)
        if self.cache:
            yield _counters("xrootd_cache_bytes", "Bytes of closed files by where they were read.", "source", read)
        yield from self._room()

    def _room(self) -> Iterator[Metric]:
        if self.disk is None:
            return
        try:
            room = os.statvfs(self.disk)
        except OSError:
            return
        family = GaugeMetricFamily("xrootd_cache_disk_bytes", "The volume of the data.", labels=["state"])
        family.add_metric(["used"], float((room.f_blocks - room.f_bfree) * room.f_frsize))
        family.add_metric(["total"], float(room.f_blocks * room.f_frsize))
        yield family


def _server(told: Summary) -> Iterator[Metric]:
    numbers, since = told.numbers, told.started
    build = GaugeMetricFamily("xrootd_build", "The version that runs.", labels=["version"])
    build.add_metric([told.version], 1.0)
    yield build
    yield GaugeMetricFamily("xrootd_connections", "Connections that are open.", numbers.get("link/num", 0.0))
    yield _counter("xrootd_connections_opened", "Connections that were opened.", numbers.get("link/tot", 0.0), since)
    for name, text, place in _PLAIN_COUNTERS:
        yield _counter(name, text, numbers.get(place, 0.0), since)
    for name, text, label, places in _COUNTERS:
        yield _counters(name, text, label, {key: numbers.get(place, 0.0) for key, place in places.items()}, since)


def _counter(name: str, text: str, value: float, created: float) -> Metric:
    family = CounterMetricFamily(name, text)
    family.add_metric([], value, created)
    return family


def _counters(name: str, text: str, label: str, values: Mapping[str, float], created: float | None = None) -> Metric:
    family = CounterMetricFamily(name, text, labels=[label])
    for key, value in values.items():
        family.add_metric([key], float(value), created)
    return family


def _address(_: click.Context, __: click.Parameter, text: str) -> Address:
    host, colon, port = text.rpartition(":")
    if not colon or not port.isdecimal() or int(port) > 65535:  # noqa: PLR2004 - the last port
        raise click.BadParameter("HOST:PORT")
    everywhere = "::" if socket.has_dualstack_ipv6() else "0.0.0.0"  # noqa: S104 - asked for
    return host.strip("[]") or everywhere, int(port)


@click.command(help=__doc__)
@click.option(
    "--listen",
    default="127.0.0.1:9109",
    show_default=True,
    callback=_address,
    help="Where metrics are: HOST:PORT; :PORT is all addresses.",
)
@click.option(
    "--report", default="127.0.0.1:9931", show_default=True, callback=_address, help="Where XRootD sends to: HOST:PORT."
)
@click.option("--disk", type=click.Path(), help="A path on the volume of the data, whose room is told.")
@click.option("--cache", is_flag=True, help="It is a cache: tell how much was there, and how much was not.")
@click.option("--stale", default=60, show_default=True, type=click.IntRange(1), help="Seconds that a report counts.")
def main(*, listen: Address, report: Address, disk: str | None, cache: bool, stale: int) -> None:
    """Serve the numbers until SIGTERM."""
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s")
    # as a container's first process it ends by what it handles alone
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    watch = Watch(disk, cache, stale)
    registry = CollectorRegistry()
    registry.register(watch)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as reports:
        reports.bind(report)
        # it answers on every path, and so on /healthz
        server, _ = start_http_server(listen[1], listen[0], registry)
        host, port = reports.getsockname()
        _log.info("reports at %s:%d, metrics at port %d", host, port, server.server_port)
        while True:
            watch.take(reports.recv(_LONGEST))


if __name__ == "__main__":
    main()
