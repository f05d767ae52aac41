"""What the charts xcache and xrootd render, in the hands of a real XRootD: redirector, caches, proxy, data server."""

import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from string import ascii_lowercase

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.acceptance.site import JANE, STRANGER, TOP, Site, make_site
from tests.acceptance.xcache import content, origin
from tests.acceptance.xrootd import UNMAPPED_GSI, XRootD, client_settings
from tests.acceptance.xrootd_service import Home, _as_service, home, need_plugins
from tests.charts.objects import Json, of_kind, pods
from tests.charts.rendering import render
from tests.tools.faultproxy import bound
from tests.tools.http import Web
from tests.tools.minting import delegate, end_entity, write_private
from tests.tools.programs import PATIENCE, Server, Verdict, dies_with_us, end, environment, need, run, serving, wait_for

CACHE, PROXY = f"{TOP}/CN=robot: cache", f"{TOP}/CN=robot: proxy"
MAPS = {"gridmap": f'"{JANE}" jane\n"{PROXY}" proxy\n', "authdb": "u jane /data a\nu proxy /data lr\n"}
# seconds that nobody waits for here
HASTE = {"startup 10": "startup 1", "drop 10": "drop 1", "every 15s": "every 1s", "flush 15s": "flush 1s"}
REDIRECTOR = "site-xcache-redirector"
MANAGER = f"{REDIRECTOR}-0.{REDIRECTOR}-peers.grid.svc.cluster.local:3121"
_READY = r"------ {} \S+:(\d+) initialization completed"
_JOINED = re.compile(r"Primary server\.\S+ logged in")


@dataclass
class Node:
    """A pod's XRootD on this machine: it has the pod's files, with paths and ports of this machine in them."""

    objects: Sequence[Json]
    pod: str
    place: Home
    ports: dict[str, str]
    servers: dict[str, Server] = field(default_factory=dict)
    port: int = 0

    @property
    def xrootd(self) -> XRootD:
        return XRootD(self.servers["xrootd"], self.port, self.place.trust)

    def container(self, name: str) -> Json:
        (pod,) = (one for one in pods(self.objects) if one.name == self.pod)
        (found,) = (one for one in pod.containers() if one["name"] == name)
        return found

    def here(self, text: str) -> str:
        """Say something of the pod's in this machine's words."""
        edits = {f"{path}": f"{self.place.top}{path}" for path in ("/etc/xrootd-", "/run/")}
        edits["oss.localroot "] = f"oss.localroot {self.place.top}"
        for old, new in (edits | HASTE | self.ports).items():
            text = text.replace(old, new)
        return text

    def lay(self) -> None:
        """Write the files of its ConfigMaps, and make what other volumes there are."""
        maps = {item["metadata"]["name"]: item["data"] for item in of_kind(self.objects, "ConfigMap")}
        (pod,) = (one for one in pods(self.objects) if one.name == self.pod)
        volumes = {one["name"]: one.get("configMap", {}).get("name") for one in pod.spec["volumes"]}
        for mount in self.container("xrootd")["volumeMounts"]:
            for name, text in maps.get(volumes.get(mount["name"]), {}).items():
                self.place.write(f"{mount['mountPath'][1:]}/{name}", self.here(text))
        host = "run/host-certificate"
        self.place.write(f"{host}/tls.crt", self.place.certificate.read_bytes())
        self.place.private(f"{host}/tls.key", self.place.key.read_bytes())
        self.place.folder("run/credentials")
        shutil.copytree(self.place.trust, self.place.top / "run" / "credentials" / "certificates")
        for folder in ("run/xrootd", "data"):
            self.place.folder(folder)

    @contextmanager
    def running(self, *programs: str) -> Iterator["Node"]:
        """Run what the pod's containers of these names run until the block ends."""
        with ExitStack() as stack:
            for program in programs:
                *command, name = self.container(program)["command"]
                argv = _as_service([self.here(argument) for argument in [*command, name]])
                log = self.place.top / f"{program}.log"
                settings = environment(**self._environment())
                server = stack.enter_context(serving(argv, log=log, env=settings, directory=self.place.top))
                self.servers[program] = server
                self.port = int(server.printed(_READY.format(program))[1])
                if program == "cmsd":
                    # `xrootd` looks for it once, and then after ten seconds
                    admin = self.place.top / "run" / "xrootd" / "site" / ".olb"
                    wait_for(_there(admin), server.output)
            yield self

    def stop(self) -> None:
        for server in self.servers.values():
            end(server.process)

    def probe(self, container: str, kind: str, *, within: float = PATIENCE) -> bool:
        """Do what the kubelet does: a probe that takes too long has failed."""
        command = self.container(container)[kind]["exec"]["command"]
        argv = [self.here(each).replace("1094", str(self.port)) for each in command]
        try:
            done = subprocess.run(argv, env=environment(), capture_output=True, timeout=within, check=False)
        except subprocess.TimeoutExpired:
            return False
        return done.returncode == 0

    def has(self, name: str) -> bool:
        return (self.place.top / "data" / "data" / f"{name}.cinfo").exists()

    def _environment(self) -> dict[str, str]:
        said = {one["name"]: self.here(one["value"]) for one in self.container("xrootd").get("env", [])}
        # a redirect names an address here, and the certificate has a name
        return said | {"XrdSecGSISRVNAMES": "localhost", "XRD_NETWORKSTACK": "IPv4"}


def _there(admin: Path) -> Callable[[], bool | None]:
    return lambda: any(admin.glob("olbd.*")) or None


class Cluster:
    """Everything of a release of xcache."""

    def __init__(self, site: Site, source: XRootD, stack: ExitStack, directory: Path) -> None:
        self._site, self._stack, self._directory = site, stack, directory
        said = {"origin": {"host": "localhost", "port": source.port}, "exports": ["/data"], "authorization": MAPS}
        self.objects = render("xcache", said | {"proxy": {"enabled": True}})
        manager = stack.enter_context(bound()).getsockname()[1]
        self._ports = {
            MANAGER: f"localhost:{manager}",
            "xrd.port 3121": f"xrd.port {manager}",
            "xrd.port 1094": "xrd.port any",
        }
        self._ports |= {":0C31 ": f":{manager:04X} "}
        self.metrics: dict[str, Web] = {}
        self.redirector = self._start("redirector", "cmsd", "xrootd")
        self.caches = [self._start("cache", "cmsd", "xrootd") for _ in range(2)]
        self._ports[f"{REDIRECTOR}.grid.svc.cluster.local:1094"] = f"localhost:{self.redirector.port}"
        self.proxy = self._start("proxy", "xrootd")
        log = self.redirector.servers["cmsd"]
        wait_for(lambda: len(_JOINED.findall(log.output())) == len(self.caches) or None, log.output)
        log.printed("manager service enabled")

    def _start(self, component: str, *programs: str) -> Node:
        place = self._stack.enter_context(home(self._site.trust_dir, self._site.host))
        node = Node(self.objects, f"xcache/{component}", place, self._ports)
        node.ports = self._ports | self._export(node)
        node.lay()
        if component != "redirector":
            dn = PROXY if component == "proxy" else CACHE
            place.private("run/credentials/x509_proxy", delegate(end_entity(self._site.ca, dn)).to_pem())
        return self._stack.enter_context(node.running(*programs))

    def _export(self, node: Node) -> dict[str, str]:
        """Run the pod's exporter; return where it takes reports."""
        container = node.container("exporter")
        edits = {"=:9109": "=127.0.0.1:0", ":9931": ":0", "/data": str(node.place.top)}
        argv = [sys.executable, *container["command"][1:], *container["args"]]
        for old, new in edits.items():
            argv = [argument.replace(old, new) for argument in argv]
        log = self._directory / f"exporter{len(self.metrics)}.log"
        server = self._stack.enter_context(serving(dies_with_us(argv), log=log, env=environment()))
        told = server.printed(r"reports at (\S+), metrics at port (\d+)")
        self.metrics[node.place.top.name] = Web(f"http://127.0.0.1:{told[2]}")
        return {"127.0.0.1:9931": told[1]}

    def ask(self, node: Node) -> dict[str, float]:
        text = self.metrics[node.place.top.name].get("/metrics").body.decode()
        samples = (sample for family in text_string_to_metric_families(text) for sample in family.samples)
        return {" ".join([sample.name, *sample.labels.values()]): sample.value for sample in samples}

    def holders(self, name: str) -> list[Node]:
        return [cache for cache in self.caches if cache.has(name)]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    return make_site(tmp_path_factory.mktemp("site"))


@pytest.fixture(scope="module")
def source(site: Site) -> Iterator[XRootD]:
    with origin(site.trust_dir, site.host, {CACHE: "robot"}) as server:
        yield server


@pytest.fixture(scope="module")
def cluster(site: Site, source: XRootD, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    need("cmsd", "bash")
    need_plugins("XrdPss", "XrdPfc")
    with ExitStack() as stack:
        yield Cluster(site, source, stack, tmp_path_factory.mktemp("exporters"))


@pytest.fixture(scope="module")
def jane(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _reader(site, JANE, tmp_path_factory)


@pytest.fixture(scope="module")
def stranger(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _reader(site, STRANGER, tmp_path_factory)


def _reader(site: Site, dn: str, directories: pytest.TempPathFactory) -> Path:
    return write_private(directories.mktemp("reader") / "proxy", delegate(end_entity(site.ca, dn)).to_pem())


def test_each_file_is_fetched_once_by_one_cache_with_its_own_proxy(
    cluster: Cluster, source: XRootD, jane: Path
) -> None:
    files = iter(ascii_lowercase)
    held: set[int] = set()
    while len(held) < len(cluster.caches):  # they take turns; with all letters read, this ends in StopIteration
        name = next(files)
        verdict = cluster.redirector.xrootd.gsi_read(jane, f"/data/{name}")
        assert content(name) in verdict.text, verdict
        (holder,) = cluster.holders(name)
        held.add(holder.port)
    assert set(source.logins()) == {"robot"}
    since = source.server.position()
    assert cluster.redirector.xrootd.gsi_read(jane, "/data/a")
    assert source.logins(since) == []
    assert len(cluster.holders("a")) == 1


def test_a_name_that_the_map_does_not_have_gets_nothing(cluster: Cluster, source: XRootD, stranger: Path) -> None:
    since = source.server.position()
    for node in (cluster.redirector, cluster.caches[0], cluster.proxy):
        assert not node.xrootd.gsi_read(stranger, "/data/a")
    assert source.logins(since) == []
    for node in (cluster.caches[0], cluster.proxy):
        assert UNMAPPED_GSI in node.servers["xrootd"].output()


def test_who_shows_nothing_gets_nothing(cluster: Cluster, site: Site, jane: Path) -> None:
    for node in (cluster.caches[0], cluster.proxy):
        settings = client_settings(site.trust_dir, jane)
        del settings["X509_USER_PROXY"]
        verdict = run(["xrdfs", f"root://localhost:{node.port}", "cat", "/data/a"], env=environment(**settings))
        assert "Auth failed" in verdict.text, verdict


def test_nobody_writes_through_a_cache(cluster: Cluster, site: Site, jane: Path, tmp_path: Path) -> None:
    (tmp_path / "new").write_text("new")
    for node in (cluster.caches[0], cluster.proxy):
        argv: list[str | Path] = ["xrdcp", "--silent", tmp_path / "new", f"root://localhost:{node.port}//data/new"]
        assert "read-only file system" in run(argv, env=environment(**client_settings(site.trust_dir, jane))).text


def test_the_proxy_reads_from_the_caches_as_itself(cluster: Cluster, jane: Path) -> None:
    since = {cache.port: cache.servers["xrootd"].position() for cache in cluster.caches}
    verdict = cluster.proxy.xrootd.gsi_read(jane, "/data/y")
    assert content("y") in verdict.text, verdict
    (holder,) = cluster.holders("y")
    assert set(holder.xrootd.logins(since[holder.port])) == {"proxy"}
    assert "jane" in cluster.proxy.xrootd.logins()


def test_probes_fail_when_they_should(cluster: Cluster) -> None:
    for node in (cluster.redirector, cluster.proxy, *cluster.caches):
        for kind in ("startupProbe", "readinessProbe", "livenessProbe"):
            assert node.probe("xrootd", kind)
    assert all(cache.probe("cmsd", "readinessProbe") for cache in cluster.caches)
    process = cluster.proxy.servers["xrootd"].process
    process.send_signal(signal.SIGSTOP)
    try:
        # the kernel still takes connections for it
        assert not cluster.proxy.probe("xrootd", "livenessProbe", within=2)
    finally:
        process.send_signal(signal.SIGCONT)
    assert cluster.proxy.probe("xrootd", "livenessProbe")
    with bound() as held:
        other = Node(cluster.objects, "xcache/cache", cluster.caches[0].place, {}, port=held.getsockname()[1])
        assert not other.probe("xrootd", "readinessProbe")
        elsewhere = {":0C31 ": f":{held.getsockname()[1]:04X} "}
        assert not Node(cluster.objects, "xcache/cache", other.place, elsewhere).probe("cmsd", "readinessProbe")


def test_helm_test_counts_the_caches_that_answer(cluster: Cluster) -> None:
    script = cluster.redirector.place.top / "etc" / "xrootd-site" / "subscribed.sh"
    two, three = (run(["bash", script, f"localhost:{cluster.redirector.port}", count]) for count in "23")
    assert two
    assert not three
    assert "fewer than 3" in three.text


def test_the_exporters_tell_what_was_read(cluster: Cluster, jane: Path) -> None:
    for _ in range(2):
        assert cluster.redirector.xrootd.gsi_read(jane, "/data/z")
    (holder,) = cluster.holders("z")
    size = len(content("z"))

    def told() -> dict[str, float] | None:
        metrics = cluster.ask(holder)
        both = (metrics.get(f"xrootd_cache_bytes_total {source}", 0) for source in ("hit", "miss"))
        return metrics if all(value >= size for value in both) and metrics["xrootd_up"] else None

    metrics = wait_for(told, lambda: f"{cluster.ask(holder)}")
    assert metrics["xrootd_datagrams_total refused"] == 0
    assert metrics["xrootd_network_bytes_total out"] > 2 * size
    assert metrics["xrootd_opens_total"] > 1
    assert metrics["xrootd_logins_total authenticated"] > 0
    assert 0 < metrics["xrootd_cache_disk_bytes used"] < metrics["xrootd_cache_disk_bytes total"]
    wait_for(lambda: cluster.ask(cluster.redirector).get("xrootd_cluster_servers") == 2 or None, lambda: "no caches")
    assert cluster.ask(cluster.proxy)["xrootd_up"] == 1


def test_readers_go_to_another_cache_when_theirs_is_gone(cluster: Cluster, jane: Path) -> None:
    """The last test of this cluster."""
    (holder,) = cluster.holders("a")
    (other,) = (cache for cache in cluster.caches if cache is not holder)
    assert not other.has("a")
    holder.stop()
    assert content("a") in cluster.redirector.xrootd.gsi_read(jane, "/data/a").text
    assert other.has("a")


def test_as_it_comes_nobody_may_read(site: Site, source: XRootD, jane: Path) -> None:
    need_plugins("XrdPss", "XrdPfc")
    objects = render("xcache", {"origin": {"host": "localhost", "port": source.port}, "exports": ["/data"]})
    with home(site.trust_dir, site.host) as place:
        node = Node(objects, "xcache/cache", place, {MANAGER: "localhost:9", "xrd.port 1094": "xrd.port any"})
        node.lay()
        with node.running("xrootd"):
            verdict = node.xrootd.gsi_read(jane, "/data/a")
            assert not verdict
            assert UNMAPPED_GSI in verdict.text


@pytest.fixture(scope="module")
def storage(site: Site) -> Iterator[Node]:
    """The data server, by proxies and HTTPS."""
    values = {"exports": ["/data"], "http": {"enabled": True}}
    maps = {"gridmap": f'"{JANE}" jane\n', "authdb": "u jane /data/jane a /data lr\n"}
    with home(site.trust_dir, site.host) as place:
        node = Node(
            render("xrootd", values | {"authorization": maps}),
            "xrootd/server",
            place,
            {"xrd.port 1094": "xrd.port any"},
        )
        node.lay()
        place.folder("data/data")
        place.folder("data/data/jane")
        place.write("data/data/shared", "for everybody who is mapped")
        with node.running("xrootd"):
            yield node


def test_the_data_server_takes_files_of_who_may_write(storage: Node, site: Site, jane: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("jane's")

    def copy(path: str) -> Verdict:
        argv: list[str | Path] = ["xrdcp", "--silent", tmp_path / "file", f"root://localhost:{storage.port}/{path}"]
        return run(argv, env=environment(**client_settings(site.trust_dir, jane)))

    assert copy("/data/jane/file")
    assert storage.xrootd.gsi_read(jane, "/data/jane/file")
    assert "permission denied" in copy("/data/other").text


def test_the_data_server_is_the_same_by_https(storage: Node, jane: Path, stranger: Path) -> None:
    assert storage.xrootd.https_read(jane)
    assert not storage.xrootd.https_read(stranger)
    assert not storage.xrootd.gsi_read(stranger)


def test_the_host_certificate_is_copied_as_xrootd_wants_it_and_again_when_it_is_new(tmp_path: Path) -> None:
    secret, copied = tmp_path / "host-secret", tmp_path / "host-certificate"
    for folder in (secret, copied):
        folder.mkdir()
    for name in ("tls.crt", "tls.key"):
        (secret / name).write_text(f"first {name}")
        (secret / name).chmod(0o440)
    (pod,) = (one for one in pods(render("xrootd")) if one.name == "xrootd/server")
    (copies,) = (one["command"] for one in pod.containers() if one["name"] == "host-certificate")
    argv = [each.replace("/run/", f"{tmp_path}/").replace("sleep 60", "sleep 0.05") for each in copies]
    with serving(dies_with_us(argv), log=tmp_path / "log", env=environment()) as server:
        _until_copied(secret, copied, server)
        (secret / "tls.key").unlink()
        (secret / "tls.key").write_text("second tls.key")
        _until_copied(secret, copied, server)
        assert {file.stat().st_mode & 0o777 for file in copied.iterdir() if not file.name.startswith(".")} == {0o400}
        server.process.terminate()
        server.ended()
        assert server.process.returncode == 0


def _until_copied(secret: Path, copied: Path, server: Server) -> None:
    def probe() -> bool | None:
        both = [(secret / name, copied / name) for name in ("tls.key", "tls.crt")]
        return all(new.exists() and new.read_text() == old.read_text() for old, new in both) or None

    wait_for(probe, server.output)
