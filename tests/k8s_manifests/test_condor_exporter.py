"""The exporter before HTCondor's own daemon core, and before collectors that do not answer."""

import json
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.request import urlopen

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from k8s_manifests.exporters import condor
from k8s_manifests.exporters.condor import AskError, Numbers, Watch, numbers, slots_of
from tests.acceptance.condor_collector import collector
from tests.acceptance.shims import build
from tests.tools.programs import PATIENCE, Server, dies_with_us, environment, need, run, serving, wait_for

classad2 = pytest.importorskip("classad2")

SITE = 'T3 "quoted" || true'
EXPORTER = [sys.executable, "-m", condor.__name__]
MINE, OTHERS = classad2.quote(SITE), classad2.quote(SITE.replace("T3", "T2"))


def slot(site: str, state: str, activity: str, cpus: int) -> str:
    return f'[MyType = "Machine"; GLIDEIN_Site = {site}; State = "{state}"; Activity = "{activity}"; Cpus = {cpus}]'


ADS = [
    slot(MINE, "Unclaimed", "Idle", 3),
    slot(MINE, "Claimed", "Busy", 4),
    slot(MINE, "Claimed", "Retiring", 8),
    slot(OTHERS, "Claimed", "Busy", 64),
    '[MyType = "Submitter"; Name = "cms@one"; IdleJobs = 2; WeightedIdleJobs = 16]',
    '[MyType = "Submitter"; Name = "cms@two"; IdleJobs = 5]',
    '[MyType = "Submitter"; Name = "atlas@one"; IdleJobs = 100; WeightedIdleJobs = 800]',
]
CMS = 'regexp("^cms@", Name)'


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    need("g++")
    return build("condor_collector.cpp", tmp_path_factory.mktemp("condor_collector"))


@contextmanager
def exporting(directory: Path, *arguments: str) -> Iterator[tuple[Server, str]]:
    """Run the exporter; yields where its metrics are."""
    argv = dies_with_us([*EXPORTER, "--listen=127.0.0.1:0", "--interval=1", *arguments])
    with serving(argv, log=directory / "exporter.log", env=environment(CONDOR_CONFIG="/dev/null")) as server:
        yield server, server.printed(r"http://\S+")[0]


def metrics(url: str) -> dict[str, float]:
    with urlopen(url, timeout=PATIENCE) as answer:  # noqa: S310 - a URL of the test's own
        return read(answer.read().decode())


def read(page: str) -> dict[str, float]:
    """Return values by the metric's name, less its prefix, with its labels' values."""
    return {
        " ".join([sample.name.removeprefix("stateless_site_"), *sample.labels.values()]): sample.value
        for family in text_string_to_metric_families(page)
        for sample in family.samples
    }


def once(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*EXPORTER, "--once", *arguments],
        env=environment(CONDOR_CONFIG="/dev/null"),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


def test_ads_are_added_up() -> None:
    ads = [classad2.ClassAd(ad) for ad in ADS]
    got = numbers([ad for ad in ads if ad["MyType"] == "Machine"], [ad for ad in ads if ad["MyType"] == "Submitter"])
    assert {state: count for state, count in got.slots.items() if count} == {"unclaimed": 1, "claimed": 3}
    assert {state: cores for state, cores in got.cores.items() if cores} == {"unclaimed": 3, "claimed": 76}
    assert (got.idle_jobs, got.idle_cores) == (107, 821)
    # what retires is not wanted any more
    assert got.wanted_cores == 4 + 64 + 821


def test_an_empty_pool_wants_nothing_and_has_every_state() -> None:
    got = numbers([], [])
    assert set(got.slots.values()) == {0}
    assert set(got.slots) == set(got.cores) == set(condor.STATES)
    assert got.wanted_cores == 0


@pytest.mark.parametrize("cpus", ["undefined", "error", '"8"', "TotalCpus / 2", "true"])
def test_what_is_no_number_counts_nothing(cpus: str) -> None:
    assert numbers([classad2.ClassAd(f'[State = "Claimed"; Cpus = {cpus}]')], []).wanted_cores == 0


@pytest.mark.parametrize("site", [SITE, "T2_IT_Bari", '" || true || "', "$(HOME)"])
def test_a_sites_name_is_nothing_but_a_name(site: str) -> None:
    expression = classad2.ExprTree(slots_of(site))
    for name in (site, site + "x", site[:-1], "true"):
        assert expression.eval(classad2.ClassAd({"GLIDEIN_Site": name})) is (name == site)
    assert expression.eval(classad2.ClassAd({})) is False


@pytest.mark.acceptance
def test_a_collector_is_asked_for_what_is_this_sites(program: Path, tmp_path: Path) -> None:
    with collector(program, tmp_path / "collector", ADS) as pool:
        got = json.loads(once(f"--collector={pool.address}", f"--site={SITE}", f"--jobs={CMS}").stdout)
        assert (got["slots"]["claimed"], got["cores"]["claimed"], got["cores"]["unclaimed"]) == (2, 12, 3)
        assert (got["idle_jobs"], got["idle_cores"], got["wanted_cores"]) == (7, 21, 25)
        everybody = json.loads(once(f"--collector={pool.address}").stdout)
        assert (everybody["slots"]["claimed"], everybody["idle_jobs"]) == (3, 107)


@pytest.mark.acceptance
def test_what_the_pool_has_is_told(program: Path, tmp_path: Path) -> None:
    with (
        collector(program, tmp_path / "collector", ADS) as pool,
        exporting(tmp_path, f"--collector={pool.address}", f"--site={SITE}", f"--jobs={CMS}") as (server, url),
    ):
        server.printed(r"\d answers")
        told = metrics(url)
        assert told["wanted_cores"] == 25
        assert told["slots claimed"] == 2
        assert told[f"collector_up {pool.address}"] == 1
        assert told["last_success_timestamp_seconds"] > 0
        pool.tell([])
        wait_for(lambda: metrics(url)["wanted_cores"] == 0 or None, server.output)


@pytest.mark.acceptance
def test_the_next_collector_is_asked_when_one_is_away(program: Path, tmp_path: Path) -> None:
    with socket.socket() as silent, collector(program, tmp_path / "collector", ADS) as pool:
        silent.bind(("127.0.0.1", 0))
        away = f"127.0.0.1:{silent.getsockname()[1]}"
        with exporting(tmp_path, f"--collector={away}", f"--collector={pool.address}", f"--site={SITE}") as (
            server,
            url,
        ):
            server.printed(r"\d answers")
            told = metrics(url)
            assert (told[f"collector_up {away}"], told[f"collector_up {pool.address}"]) == (0, 1)
            assert told["slots claimed"] == 2


@pytest.mark.acceptance
def test_numbers_are_left_out_when_no_collector_answers_any_more(program: Path, tmp_path: Path) -> None:
    arguments = ["--timeout=1", "--forget=3", f"--site={SITE}"]
    with collector(program, tmp_path / "collector", ADS) as pool:
        address = pool.address
        manager = exporting(tmp_path, f"--collector={address}", *arguments)
        server, url = manager.__enter__()
        server.printed(r"\d answers")
        assert "wanted_cores" in metrics(url)
    try:
        server.printed("does not answer")
        wait_for(lambda: "wanted_cores" not in metrics(url) or None, server.output)
        told = metrics(url)
        assert set(told) == {f"collector_up {address}", "last_success_timestamp_seconds"}
        assert told[f"collector_up {address}"] == 0
    finally:
        manager.__exit__(None, None, None)


@pytest.mark.acceptance
def test_the_charts_own_test_says_what_is_missing(program: Path, tmp_path: Path) -> None:
    asked = Path(__file__).parents[2] / "charts/wn/files/asked.py"
    with (
        collector(program, tmp_path / "collector", ADS) as pool,
        exporting(tmp_path, f"--collector={pool.address}", f"--site={SITE}") as (server, url),
    ):
        assert run([sys.executable, asked, url, f"{PATIENCE}"])
        pool.tell([])
        wait_for(lambda: not metrics(url)["slots claimed"] or None, server.output)
        assert "no slot of this site" in run([sys.executable, asked, url, "0"]).text
    assert url in run([sys.executable, asked, url, "0"]).text


def test_a_port_that_is_closed_is_a_refusal() -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{bound.getsockname()[1]}"
        done = once(f"--collector={address}")
    assert done.returncode == 1
    assert done.stdout == ""
    assert re.fullmatch(rf"{address}: .+\n", done.stderr)


def test_a_port_that_is_silent_takes_no_longer_than_it_may_and_metrics_are_served_meanwhile(tmp_path: Path) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        with exporting(tmp_path, f"--collector={address}", "--timeout=1") as (server, url):
            # while it is being asked
            connection, _ = silent.accept()
            assert metrics(url) == {}
            server.printed("does not answer")
            assert metrics(url) == {f"collector_up {address}": 0}
            connection.close()


def test_a_question_that_hangs_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(condor, "_START", 0.0)
    # shorter than Python takes to start
    with pytest.raises(AskError, match="no answer within 0 s"):
        condor.ask_apart("127.0.0.1:1", condor.Question(timeout=0))


def test_numbers_come_back_after_an_answer_and_go_when_it_is_old() -> None:
    now = 0.0
    answers: list[Numbers | AskError] = [numbers([], []), AskError("away"), AskError("away"), numbers([], [])]

    def asking(_: str) -> Numbers:
        answer = answers.pop(0)
        if isinstance(answer, AskError):
            raise answer
        return answer

    watch = Watch(["cm"], asking, forget=10, clock=lambda: now)
    registry = CollectorRegistry()
    registry.register(watch)
    seen = []
    for at in (0.0, 5.0, 10.0, 15.0):
        now = at
        watch.turn()
        seen.append("wanted_cores" in read(generate_latest(registry).decode()))
    assert seen == [True, True, False, True]


def test_an_expression_that_is_none_is_said() -> None:
    done = once("--collector=127.0.0.1:1", "--jobs=IdleJobs >")
    assert "--jobs is no ClassAd expression: IdleJobs >" in done.stderr


@pytest.mark.parametrize("listen", ["9118", ":9118", "127.0.0.1:", "127.0.0.1:65536", "127.0.0.1:x"])
def test_where_to_listen_is_checked(listen: str) -> None:
    done = subprocess.run(
        [*EXPORTER, "--collector=cm", f"--listen={listen}"],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 2
    assert "HOST:PORT" in done.stderr


@pytest.mark.parametrize("site", ["T2\\", 'T2\\" || true || "', "T2\n", "à"])
def test_a_site_may_have_no_name_that_means_two_things(site: str) -> None:
    done = once("--collector=127.0.0.1:1", f"--site={site}")
    assert done.returncode == 2
    assert "printable ASCII" in done.stderr


def test_sigterm_ends_it_while_it_asks(tmp_path: Path) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        with exporting(tmp_path, f"--collector=127.0.0.1:{silent.getsockname()[1]}", "--timeout=600") as (server, _):
            connection, _address = silent.accept()
            server.process.terminate()
            server.ended()
            assert server.process.returncode == 0
            # the child is gone as well: nobody holds the other end
            connection.settimeout(PATIENCE)
            while connection.recv(4096):
                pass
            connection.close()
