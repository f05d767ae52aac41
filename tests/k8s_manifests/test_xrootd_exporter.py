"""The exporter before what XRootD really sent, before what it never would, and before a running one."""

import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from k8s_manifests.exporters import xrootd
from k8s_manifests.exporters.xrootd import Summary, Watch, closed
from proxy_gen.trust import TrustedAuthority
from tests.acceptance.xrootd_service import Home, home, service
from tests.tools.hostcert import issue_host
from tests.tools.http import Web
from tests.tools.minting import authority, write_trust
from tests.tools.programs import Server, dies_with_us, environment, need, run, serving, wait_for

# a cache of 5.8.1 from which 21 MB were read, 2.6 MB of them from its origin; the part `cache` has zeros all the same
SERVER = (
    b'<statistics tod="1795404148" ver="v5.8.1" src="localhost:22012" tos="1795404072" pgm="xrootd" ins="c2" pid="'
    b'19494" site=""><stats id="info"><host>localhost</host><port>22012</port><name>c2</name></stats>'
    b'<stats id="buff"><reqs>24</reqs><mem>3154944</mem><buffs>19</buffs><adj>0</adj><xlreqs>0</xlreqs>'
    b'<xlmem>0</xlmem><xlbuffs>0</xlbuffs></stats><stats id="link"><num>0</num><maxn>1</maxn><tot>3</tot>'
    b"<in>16826</in><out>21474717</out><ctime>8</ctime><tmo>0</tmo><stall>0</stall><sfps>0</sfps></stats>"
    b'<stats id="poll"><att>0</att><en>0</en><ev>3</ev><int>0</int></stats><stats id="proc"><usr><s>0</s>'
    b'<u>389323</u></usr><sys><s>0</s><u>83271</u></sys></stats><stats id="xrootd"><num>3</num><ops>'
    b"<open>3</open><rf>0</rf><rd>117</rd><pr>0</pr><rv>0</rv><rs>0</rs><wv>0</wv><ws>0</ws><wr>0</wr>"
    b"<sync>0</sync><getf>0</getf><putf>0</putf><misc>6</misc></ops><sig><ok>0</ok><bad>0</bad><ign>0</ign></sig>"
    b"<aio><num>0</num><max>0</max><rej>0</rej></aio><err>0</err><rdr>0</rdr><dly>0</dly><lgn><num>3</num>"
    b'<af>0</af><au>3</au><ua>0</ua></lgn></stats><stats id="ofs"><role>server</role><opr>0</opr><opw>0</opw>'
    b"<opp>0</opp><ups>0</ups><han>0</han><rdr>0</rdr><bxq>0</bxq><rep>0</rep><err>0</err><dly>0</dly>"
    b"<sok>0</sok><ser>0</ser><tpc><grnt>0</grnt><deny>0</deny><err>0</err><exp>0</exp></tpc></stats>"
    b'<stats id="pss"><open>2<errs>0</errs></open><close>2<errs>0</errs></close></stats>'
    b'<stats id="cache" type="pfc"><prerd><in>0</in><hits>0</hits><miss>0</miss></prerd><rd><in>0</in>'
    b"<out>0</out><hits>0</hits><miss>0</miss></rd><pass>0<cnt>0</cnt></pass><wr><out>0</out><updt>0</updt></wr>"
    b"<saved>0</saved><purge>0</purge><files><opened>0</opened><closed>0</closed><new>0</new><del>0</del>"
    b"<now>0</now><full>0</full></files><store><size>0</size><used>0</used><min>0</min><max>0</max></store><mem>"
    b"<size>0</size><used>0</used><wq>0</wq></mem><opcl><odefer>1</odefer><defero>0</defero><cdefer>0</cdefer>"
    b'<clost>0</clost></opcl></stats><stats id="sched"><jobs>84</jobs><inq>0</inq><maxinq>1</maxinq>'
    b'<threads>6</threads><idle>4</idle><tcr>6</tcr><tde>0</tde><tlimr>0</tlimr></stats><stats id="sgen">'
    b"<as>0</as><et>0</et><toe>1795404148</toe></stats></statistics>"
)
# a redirector of 5.5.3 to which two caches have subscribed
MANAGER = (
    b'<statistics tod="1795403389" ver="v5.5.3" src="localhost:23121" tos="1795403374" pgm="cmsd" ins="red" pid="4'
    b'451" site=""><stats id="info"><host>localhost</host><port>23121</port><name>red</name></stats>'
    b'<stats id="buff"><reqs>0</reqs><mem>0</mem><buffs>0</buffs><adj>0</adj><xlreqs>0</xlreqs><xlmem>0</xlmem>'
    b'<xlbuffs>0</xlbuffs></stats><stats id="link"><num>3</num><maxn>3</maxn><tot>3</tot><in>291</in>'
    b'<out>230</out><ctime>0</ctime><tmo>0</tmo><stall>0</stall><sfps>0</sfps></stats><stats id="poll">'
    b'<att>3</att><en>0</en><ev>0</ev><int>0</int></stats><stats id="proc"><usr><s>0</s><u>3281</u></usr><sys>'
    b'<s>0</s><u>16406</u></sys></stats><stats id="cmsm"><role>M</role><sel><t>0</t><r>0</r><w>0</w></sel>'
    b'<node>2<stats id="0"><host>localhost</host><role>S</role><run>awn</run><ref><r>0</r><w>0</w></ref></stats>'
    b'<stats id="1"><host>localhost</host><role>S</role><run>awn</run><ref><r>0</r><w>0</w></ref></stats></node>'
    b'</stats><stats id="sched"><jobs>8</jobs><inq>0</inq><maxinq>2</maxinq><threads>7</threads><idle>1</idle>'
    b'<tcr>7</tcr><tde>0</tde><tlimr>0</tlimr></stats><stats id="sgen"><as>0</as><et>0</et><toe>1795403389</toe>'
    b"</stats></statistics>"
)
# what 5.5.3 and 5.8.1 say of files that were closed, and of themselves
CLOSED_BY_5_5 = b"""\
{"code":"g","pseq":  1,"stod":1795403999,"sid":45276588000930,"gs":{"type":"C","tbeg":1795404011,"tend":1795404018}}
{"event":"file_close","lfn":"/store/a","size":10,"blk_size":524288,"n_blks":1,"n_blks_done":1,"access_cnt":1,\
"attach_t":1795404011,"detach_t":1795404011,"remotes":["localhost:21094"],"b_hit":0,"b_miss":10,"b_bypass":0,\
"n_cks_errs":0}
{"event":"file_close","lfn":"/store/big","size":20971520,"blk_size":524288,"n_blks":40,"n_blks_done":40,\
"access_cnt":1,"attach_t":1795404017,"detach_t":1795404017,"remotes":["localhost:21094"],"b_hit":19267584,\
"b_miss":2621440,"b_bypass":0,"n_cks_errs":0}\0"""
CLOSED_BY_5_8 = b"""\
{"code":"g","pseq":  3,"stod":1795404072,"sid":29481442058966,"gs":{"type":"C","tbeg":1795404107,"tend":1795404107}}
{"event":"file_close","lfn":"/store/big","size":20971520,"blk_size":524288,"n_blks":40,"n_blks_done":40,\
"access_cnt":1,"attach_t":1795404107,"detach_t":1795404107,"remotes":["localhost:21094"],"b_hit":18808832,\
"b_miss":2621440,"b_bypass":0,"b_todisk":20971520,"b_prefetch":0,"n_cks_errs":0}\0"""
ITSELF = b"""\
{"code":"=","pseq":1,"stod":1795408979,"sid":122798805839967,"src":{"site":"","host":"localhost","port":1094,\
"inst":"site","pgm":"xrootd","ver":"v5.5.3"}}\0"""


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Home]:
    ca = authority("/O=site/CN=CA")
    trust = write_trust(tmp_path / "certificates", TrustedAuthority(ca.certificate, ("/O=site/*",)))
    with home(trust, issue_host(ca.certificate, ca.key)) as made:
        yield made


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def told(watch: Watch) -> dict[str, float]:
    registry = CollectorRegistry()
    registry.register(watch)
    return samples(generate_latest(registry).decode())


def samples(text: str) -> dict[str, float]:
    """Return values by name and labels, less when counters began."""
    every = (sample for family in text_string_to_metric_families(text) for sample in family.samples)
    return {
        " ".join([sample.name, *sample.labels.values()]): sample.value
        for sample in every
        if not sample.name.endswith("_created")
    }


def test_a_server_is_told_as_it_reports() -> None:
    watch = Watch(None, cache=False, stale=60)
    assert told(watch)["xrootd_up"] == 0
    watch.take(SERVER)
    metrics = told(watch)
    assert metrics.pop("xrootd_last_report_timestamp_seconds") > 1.7e9
    assert metrics == {
        "xrootd_up": 1,
        "xrootd_build v5.8.1": 1,
        "xrootd_datagrams_total taken": 1,
        "xrootd_datagrams_total refused": 0,
        "xrootd_connections": 0,
        "xrootd_connections_opened_total": 3,
        "xrootd_opens_total": 3,
        "xrootd_errors_total": 0,
        "xrootd_network_bytes_total in": 16826,
        "xrootd_network_bytes_total out": 21474717,
        "xrootd_logins_total authenticated": 3,
        "xrootd_logins_total anonymous": 0,
        "xrootd_logins_total failed": 0,
    }


def test_a_redirector_is_told_by_both_of_its_programs() -> None:
    watch = Watch(None, cache=False, stale=60)
    watch.take(MANAGER)
    assert told(watch)["xrootd_cluster_servers"] == 2
    assert told(watch)["xrootd_up"] == 0, "cmsd alone"
    watch.take(SERVER)
    assert {"xrootd_up", "xrootd_cluster_servers"} <= set(told(watch))


@pytest.mark.parametrize(
    "datagram,read",
    [
        (CLOSED_BY_5_5, {"hit": 19267584, "miss": 2621450, "bypass": 0}),
        (CLOSED_BY_5_8, {"hit": 18808832, "miss": 2621440, "bypass": 0}),
        (ITSELF, {"hit": 0, "miss": 0, "bypass": 0}),
    ],
    ids=["5.5.3", "5.8.1", "itself"],
)
def test_what_a_cache_read_adds_up(datagram: bytes, read: dict[str, int]) -> None:
    assert closed(datagram) == read
    watch = Watch(None, cache=True, stale=60)
    for _ in range(2):
        watch.take(datagram)
    for source, number in read.items():
        assert told(watch)[f"xrootd_cache_bytes_total {source}"] == 2 * number


def test_no_numbers_are_told_when_reports_have_stopped() -> None:
    clock = Clock()
    watch = Watch(None, cache=True, stale=60, clock=clock)
    watch.take(SERVER)
    watch.take(CLOSED_BY_5_8)
    clock.now = 60
    metrics = told(watch)
    assert metrics["xrootd_up"] == 0
    assert "xrootd_network_bytes_total out" not in metrics, "an autoscaler would take a standstill for idleness"
    assert metrics["xrootd_cache_bytes_total hit"] > 0
    watch.take(SERVER)
    assert told(watch)["xrootd_up"] == 1


def test_what_5_5_3_writes_amiss_is_read() -> None:
    summary = Summary.parse(SERVER.replace(b"<hits>0</hits>", b"<hits>7></hits>"))
    assert summary.numbers["cache/rd/hits"] == 7


@pytest.mark.parametrize(
    "datagram",
    [
        b"",
        b"\0",
        b"<",
        b"<statistics ",
        SERVER[:-1],
        SERVER.replace(b"statistics", b"others"),
        SERVER.replace(b'pgm="xrootd"', b'pgm="else"'),
        SERVER.replace(b"<host>", b"<!DOCTYPE x><host>"),
        b'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b "b">]><statistics pgm="xrootd">&b;</statistics>',
        SERVER.decode().encode("utf-16"),
        b"{",
        b"{}",
        b"[]\n",
        b"{" * 60_000,
        b'{"code":"g"}',
        ITSELF.replace(b'"="', b'"g"'),
        CLOSED_BY_5_8.replace(b'"C"', b'"T"'),
        CLOSED_BY_5_8.replace(b'"b_hit":18808832', b'"b_hit":-1'),
        CLOSED_BY_5_8.replace(b'"b_hit":18808832', b'"b_hit":1.5'),
        CLOSED_BY_5_8.replace(b'"b_hit":18808832', b'"b_hit":true'),
        CLOSED_BY_5_8.replace(b'"b_hit":18808832', b'"b_hit":1' + b"0" * 20),
        CLOSED_BY_5_8.replace(b'"b_hit":18808832', b'"b_hit":1' + b"0" * 5000),
        CLOSED_BY_5_8.replace(b'"b_hit":18808832,', b""),
        bytes(range(256)),
    ],
    ids=range(24),
)  # fmt: skip
def test_garbage_is_counted_and_changes_nothing(datagram: bytes) -> None:
    watch = Watch(None, cache=True, stale=60)
    watch.take(SERVER)
    before = told(watch)
    watch.take(datagram)
    assert told(watch) == before | {"xrootd_datagrams_total refused": 1}


def test_depth_costs_nothing() -> None:
    deep = b'<statistics pgm="xrootd"><stats id="a">' + b"<a>" * 9000 + b"</a>" * 9000 + b"</stats></statistics>"
    assert len(Summary.parse(deep).numbers) < 10


@pytest.mark.parametrize("number", ["-1", "1e3", "\N{SUPERSCRIPT TWO}", "9" * 30, "x", ""])
def test_what_is_no_number_counts_nothing(number: str) -> None:
    summary = Summary.parse(SERVER.replace(b"<out>21474717<", f"<out>{number}<".encode()))
    assert summary.numbers["link/out"] == 0


def test_room_is_told_where_there_is_a_disk(tmp_path: Path) -> None:
    metrics = told(Watch(str(tmp_path), cache=False, stale=60))
    assert 0 < metrics["xrootd_cache_disk_bytes used"] < metrics["xrootd_cache_disk_bytes total"]
    assert "xrootd_cache_disk_bytes used" not in told(Watch(str(tmp_path / "gone"), cache=False, stale=60))


@contextmanager
def exporting(directory: Path, *arguments: str) -> Iterator[tuple[Server, int, Web]]:
    """Run the exporter; yields also where reports go, and where metrics are."""
    argv = dies_with_us(
        [sys.executable, "-m", xrootd.__name__, "--listen=127.0.0.1:0", "--report=127.0.0.1:0", *arguments]
    )
    with serving(argv, log=directory / "exporter.log", env=environment()) as server:
        found = server.printed(r"reports at 127\.0\.0\.1:(\d+), metrics at port (\d+)")
        yield server, int(found[1]), Web(f"http://127.0.0.1:{found[2]}")


def _asked(web: Web) -> dict[str, float]:
    return samples(web.get("/metrics").body.decode())


def test_a_running_server_is_told(tmp_path: Path, place: Home) -> None:
    need("xrdfs")
    place.write("data/file", "what is read")
    with exporting(tmp_path, f"--disk={place.top}") as (exporter, reports, web):
        assert web.get("/healthz").status == 200
        settings = f"oss.localroot {place.top}\nxrd.report 127.0.0.1:{reports} every 1s all\n"
        with service(place, settings) as (_, port):
            assert run(["xrdfs", f"root://localhost:{port}", "cat", "/data/file"])

            wait_for(lambda: _asked(web).get("xrootd_opens_total") == 1 or None, exporter.output)
        metrics = _asked(web)
        assert metrics["xrootd_network_bytes_total out"] > len("what is read")
        assert metrics["xrootd_logins_total anonymous"] == 1
        assert metrics["xrootd_datagrams_total refused"] == 0
        exporter.process.terminate()
        exporter.ended()
        assert exporter.process.returncode == 0


def test_it_goes_on_after_garbage(tmp_path: Path) -> None:
    with exporting(tmp_path) as (exporter, reports, web), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for datagram in (b"", b"garbage", b"{" * 60_000, SERVER):
            sender.sendto(datagram, ("127.0.0.1", reports))
        wait_for(lambda: _asked(web)["xrootd_up"] or None, exporter.output)
        assert _asked(web)["xrootd_datagrams_total refused"] == 3
        assert exporter.output().count("WARNING") == 1


def test_an_address_that_is_none_is_refused() -> None:
    for option in ("--listen=9109", "--report=127.0.0.1:65536", "--listen=127.0.0.1:"):
        assert "HOST:PORT" in run([sys.executable, "-m", xrootd.__name__, option]).text
