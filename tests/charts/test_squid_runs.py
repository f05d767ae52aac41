"""squid.conf as the chart renders it, in the hands of a real squid: what it fetches and refuses, how it is probed."""

import http.client
import os
import runpy
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.charts.objects import Json, Pods, of_kind, pods
from tests.charts.rendering import refused, render
from tests.tools.faultproxy import bound
from tests.tools.programs import PATIENCE, Server, dies_with_us, environment, need, serving, wait_for

# `localhost` is 127.0.0.1 alone, and the rest of that network is on this machine too: a client, and somebody else
LOCALHOST, CLIENT, STRANGER = "127.0.0.1", "127.0.0.2", "127.0.0.3"
STRATUM = "stratum.site.example"
HOSTS = f"""\
127.0.0.1 localhost {STRATUM}
127.0.0.8 inside.site.example
127.0.0.9 reverse.site.example
169.254.169.254 metadata.site.example
"""


class Asked(NamedTuple):
    path: str
    headers: Mapping[str, str]


@dataclass(frozen=True)
class Origin:
    """A stratum one: it has everything, for a minute, and remembers what it was asked for."""

    port: int
    asked: list[Asked] = field(default_factory=list)

    def url(self, path: str, host: str = STRATUM) -> str:
        return f"http://{host}:{self.port}{path}"

    def times(self, path: str) -> int:
        return sum(one.path == path for one in self.asked)

    def values(self) -> Json:
        """Return values by which its domain is served, and loopback is not denied."""
        return {
            "clients": [f"{CLIENT}/32"],
            "destinations": [".site.example"],
            "ports": [self.port],
            "deniedNetworks": ["127.0.0.8/32"],
        }


@dataclass(frozen=True)
class Squid:
    """A squid that runs, with the release that it is from."""

    server: Server
    port: int
    release: list[Json]

    def ask(self, url: str, method: str = "GET", source: str = CLIENT, timeout: float = PATIENCE) -> int:
        connection = http.client.HTTPConnection(LOCALHOST, self.port, timeout, source_address=(source, 0))
        with closing(connection):
            connection.request(method, url)
            return connection.getresponse().status

    def listens(self) -> bool | None:
        with socket.socket() as knocking:
            return knocking.connect_ex((LOCALHOST, self.port)) == 0 or None

    def probe(self, timeout: float = PATIENCE) -> int:
        """Ask as the kubelet does, from an address that is in no list."""
        path = container(self.release, "squid")["readinessProbe"]["httpGet"]["path"]
        return self.ask(path, source=STRANGER, timeout=timeout)


@contextmanager
def _origin() -> Iterator[Origin]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            made.asked.append(Asked(self.path, dict(self.headers)))
            self.send_response(200)
            self.send_header("Cache-Control", "max-age=60")
            self.send_header("Content-Length", "4")
            self.end_headers()
            self.wfile.write(b"data")

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer((LOCALHOST, 0), Handler) as server:
        made = Origin(server.server_port)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield made
        server.shutdown()


@contextmanager
def _squid(home: Path, values: Json) -> Iterator[Squid]:
    """Run what the pod runs, its init container first, on a port of loopback and with the home for its volumes."""
    need("squid", "setpriv")
    release = render("squid", values)
    user = pod(release).spec["securityContext"]["runAsUser"]
    cache, conf, log, hosts = (home / name for name in ("cache", "squid.conf", "log", "hosts"))
    cache.mkdir(exist_ok=True)
    log.touch()
    log.chmod(0o666)
    hosts.write_text(HOSTS)
    if os.geteuid() == 0:
        os.chown(cache, user, user)
    with bound() as held:
        port = held.getsockname()[1]
        text = of_kind(release, "ConfigMap")[0]["data"]["squid.conf"]
        text = text.replace("http_port ", f"http_port {LOCALHOST}:").replace("/var/cache/squid", str(cache))
        conf.write_text(text.replace(":3128", f":{port}") + f"hosts_file {hosts}\n")
        # other squids of this machine have shared memory as well: it is called by this name
        *before, run = (
            _as(user, [*one["command"][:-1], conf, "-n", f"test{port}"])
            for one in pod(release).containers()
            if one.get("command", [""])[0] == "squid"
        )
        for argv in before:
            subprocess.run(argv, env=environment(), check=True, capture_output=True, timeout=PATIENCE)
        with serving(run, log=log, env=environment(), directory=home) as server:
            server.printed("Accepting HTTP Socket connections")
            made = Squid(server, port, release)
            # it says so before it listens
            wait_for(made.listens, server.output)
            yield made
            # at once, without waiting for clients
            server.process.send_signal(signal.SIGINT)
            server.process.wait(PATIENCE)


def _as(user: int, argv: list[str | Path]) -> list[str | Path]:
    drop = ["--reuid", f"{user}", "--regid", f"{user}", "--clear-groups"] if os.geteuid() == 0 else []
    return dies_with_us(argv, *drop)


def pod(release: list[Json]) -> Pods:
    (found,) = (one for one in pods(release) if one.name == "squid/squid")
    return found


def container(release: list[Json], name: str) -> Json:
    (found,) = (one for one in pod(release).containers() if one["name"] == name)
    return found


@pytest.fixture(scope="module")
def origin() -> Iterator[Origin]:
    with _origin() as made:
        yield made


@pytest.fixture(scope="module")
def home() -> Iterator[Path]:
    # not below pytest's own directory, which its owner alone may enter: squid is somebody else
    made = Path(tempfile.mkdtemp(prefix="squid-"))
    made.chmod(0o755)
    yield made
    shutil.rmtree(made)


@pytest.fixture(scope="module")
def squid(origin: Origin, home: Path) -> Iterator[Squid]:
    with _squid(home, origin.values() | {"cache": {"memory": "64Mi", "disk": {"size": "0"}}}) as running:
        yield running


def test_what_is_fetched_once_is_kept_and_names_nobody(squid: Squid, origin: Origin) -> None:
    assert [squid.ask(origin.url("/kept")) for _ in range(3)] == [200] * 3
    assert origin.times("/kept") == 1
    assert not {"Via", "X-Forwarded-For"} & set(origin.asked[-1].headers)


def test_a_herd_fetches_once(squid: Squid, origin: Origin) -> None:
    herd = [threading.Thread(target=squid.ask, args=[origin.url("/herd")]) for _ in range(20)]
    for one in herd:
        one.start()
    for one in herd:
        one.join(PATIENCE)
    assert origin.times("/herd") == 1


@pytest.mark.parametrize(
    "method, url",
    [
        pytest.param("GET", "http://elsewhere.example:{port}/", id="another domain"),
        pytest.param("GET", "http://site.example.elsewhere.example:{port}/", id="a domain that looks like it"),
        pytest.param("GET", "http://127.0.0.1:{port}/", id="an address"),
        pytest.param("GET", "http://127.0.0.9:{port}/", id="an address whose owner calls it one of ours"),
        pytest.param("GET", f"http://{STRATUM}:22/", id="another port"),
        pytest.param("GET", f"http://{STRATUM}/", id="the port of HTTP that is not in the list"),
        pytest.param("GET", "http://169.254.169.254/latest/meta-data/", id="the cloud's metadata"),
        pytest.param("GET", "http://metadata.site.example:{port}/", id="a name of ours for the cloud's metadata"),
        pytest.param("GET", "http://inside.site.example:{port}/", id="a name of ours for a denied network"),
        pytest.param("GET", f"ftp://{STRATUM}:{{port}}/", id="another protocol"),
        pytest.param("POST", f"http://{STRATUM}:{{port}}/", id="another method"),
        pytest.param("CONNECT", f"{STRATUM}:{{port}}", id="a tunnel"),
        pytest.param("GET", "/squid-internal-mgr/counters", id="the manager"),
        pytest.param("GET", "http://localhost:3128/squid-internal-mgr/counters", id="the manager by a name of its own"),
        pytest.param("GET", f"http://{STRATUM}:{{port}}/squid-internal-mgr/counters", id="another's manager"),
        pytest.param("GET", "cache_object://localhost/counters", id="the manager by its old scheme"),
    ],
)
def test_everything_else_is_refused(squid: Squid, origin: Origin, method: str, url: str) -> None:
    before = len(origin.asked)
    assert squid.ask(url.format(port=origin.port), method) == 403
    assert len(origin.asked) == before


def test_a_client_of_another_network_is_refused(squid: Squid, origin: Origin) -> None:
    assert squid.ask(origin.url("/"), source=STRANGER) == 403


def test_by_default_nothing_leads_to_loopback(squid: Squid) -> None:
    (conf,) = (item["data"]["squid.conf"] for item in of_kind(render("squid"), "ConfigMap"))
    (denied,) = (line.split() for line in conf.splitlines() if line.startswith("acl denied dst "))
    assert {"127.0.0.0/8", "::1/128", "169.254.0.0/16", "fd00:ec2::254/128"} <= set(denied)


def test_the_probe_is_answered_to_all_and_not_logged(squid: Squid, origin: Origin) -> None:
    assert squid.probe() == 200
    squid.ask(origin.url("/logged"))
    squid.server.printed("/logged")
    assert "SN.png" not in squid.server.output()


def test_the_probe_notices_a_squid_that_is_stuck(squid: Squid) -> None:
    squid.server.process.send_signal(signal.SIGSTOP)
    try:
        assert squid.listens(), "the kernel takes connections for it"
        with pytest.raises(TimeoutError):
            squid.probe(timeout=0.3)
    finally:
        squid.server.process.send_signal(signal.SIGCONT)
    assert squid.probe() == 200


def test_helms_test_is_content_with_it(
    squid: Squid, origin: Origin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (pod,) = of_kind(squid.release, "Pod")
    script, host, port, destination = pod["spec"]["containers"][0]["args"]
    assert (host, port, destination) == ("site-squid", "3128", ".site.example")
    file = tmp_path / "refusals.py"
    file.write_text(script)
    main = runpy.run_path(str(file))["main"]
    monkeypatch.setattr(http.client, "HTTPConnection", partial(http.client.HTTPConnection, source_address=(CLIENT, 0)))
    assert main(LOCALHOST, squid.port, destination) == 0, capsys.readouterr().out
    # who serves everything is no squid of ours
    assert main(LOCALHOST, origin.port, destination) == 1


def test_the_exporter_reads_the_manager_beside_it(squid: Squid, origin: Origin, tmp_path: Path) -> None:
    need("prometheus-squid-exporter")
    exporter = container(squid.release, "exporter")
    with bound() as held:
        listen = f"{LOCALHOST}:{held.getsockname()[1]}"
        known = {":9301": listen, "3128": f"{squid.port}"}
        argv = dies_with_us(["prometheus-squid-exporter", *(known.get(word, word) for word in exporter["args"])])
        # what a Service called squid would set, if the pod let it
        with serving(argv, log=tmp_path / "log", env=environment(SQUID_PORT="tcp://192.0.2.1:3128")) as server:
            text = wait_for(lambda: _metrics(listen), server.output)
    assert 'squid_up{host="localhost"} 1' in text
    requests = next(line for line in text.splitlines() if line.startswith("squid_client_http_requests_total "))
    assert float(requests.split()[1]) > 0


def test_the_manager_of_localhost_is_squid_itself_and_not_another_server(squid: Squid) -> None:
    assert squid.ask(f"http://localhost:{squid.port}/squid-internal-mgr/events", source=LOCALHOST) == 200
    assert "HIER_NONE" in squid.server.printed(".*GET http://localhost.*/events .*")[0]


def _metrics(address: str) -> str | None:
    connection = http.client.HTTPConnection(address, timeout=PATIENCE)
    with closing(connection):
        try:
            connection.request("GET", "/metrics")
        except ConnectionRefusedError:
            return None
        return connection.getresponse().read().decode()


def test_what_is_on_disk_outlives_it_and_its_end_fits_into_the_grace_period(origin: Origin, home: Path) -> None:
    own = home / "persistent"
    own.mkdir()
    values = origin.values() | {
        "squid": {"terminationGracePeriodSeconds": 16},
        "cache": {"memory": "64Mi", "disk": {"size": "1Gi", "persistent": True}},
    }
    with _squid(own, values) as first:
        assert first.ask(origin.url("/on-disk")) == 200
        begun = time.monotonic()
        first.server.process.terminate()
        first.server.ended()
        # five seconds of the sixteen are preStop's
        assert time.monotonic() - begun < pod(first.release).spec["terminationGracePeriodSeconds"] - 5
    with _squid(own, values) as second:
        second.server.printed("Finished rebuilding storage from disk")
        assert second.ask(origin.url("/on-disk")) == 200
    assert origin.times("/on-disk") == 1


def test_a_limit_of_memory_that_the_cache_would_burst_is_refused() -> None:
    why = refused("squid", {"squid": {"resources": {"limits": {"memory": "2Gi"}}}})
    assert "squid.resources.limits.memory is 2Gi, and squid needs 3608Mi" in why


@pytest.mark.parametrize("destination", [".", ".ch", "*.cern.ch", ".cern.ch\nhttp_access allow all"])
def test_a_destination_that_would_open_the_proxy_is_refused(destination: str) -> None:
    assert "destinations" in refused("squid", {"destinations": [destination]})
