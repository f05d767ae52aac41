"""The health endpoint of a running sidecar."""

import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.sidecar.hostile import answers, hostile, minted, says
from tests.sidecar.living import Living
from tests.sidecar.running import Sidecar, sidecar
from tests.tools.http import Web
from tests.tools.minting import write_private
from tests.tools.programs import environment, wait_for

LOOPBACK = "127.0.0.1:0"


def web(running: Sidecar) -> Web:
    return Web(f"http://127.0.0.1:{running.wait_for(event='listening')['port']}")


@contextmanager
def probed(world: Living, tmp_path: Path) -> Iterator[Web]:
    """Run a sidecar whose files are there."""
    kept = ("--bearer", tmp_path / "bearer", "--trust", tmp_path / "trust")
    with world.sidecar(tmp_path, *kept, "--health", LOOPBACK) as running:
        running.wait_for(event="ready")
        yield web(running)
        assert running.stop() == 0


def test_unhealthy_until_every_file_is_there(world: Living, tmp_path: Path) -> None:
    token = tmp_path / "token"
    kept = ("--bearer", tmp_path / "bearer", "--trust", tmp_path / "trust", "--health", LOOPBACK)
    with world.sidecar(tmp_path, *kept, token=token) as running:
        running.wait_for(event="renewed", kind="trust")
        running.wait_for(event="failed", kind="bearer")
        before = web(running).get("/healthz")
        assert (before.status, before.json["status"]) == (503, "missing")
        assert {each["kind"]: each["present"] for each in before.json["files"]} == {"bearer": False, "trust": True}
        write_private(token, world.token.read_bytes())
        running.wait_for(event="ready")
        after = web(running).get("/healthz")
        assert (after.status, after.json["status"]) == (200, "ok")
        assert after.headers["Cache-Control"] == "no-store"
        assert after.headers["Content-Type"] == "application/json"
        assert (tmp_path / "bearer").read_text().strip() not in after.body.decode()


def test_unhealthy_when_a_file_has_ended_or_is_gone(tmp_path: Path) -> None:
    token = write_private(tmp_path / "token", b"token")
    file = tmp_path / "proxy"
    short = answers(lambda body: minted(body, lifetime=timedelta(seconds=4)))
    with hostile(proxy=short) as daemon:
        kept = ("--url", daemon.url, "--token-file", token, "--proxy", file, "--min-left", "0s")
        with sidecar(tmp_path, *kept, "--health", LOOPBACK, env=environment()) as running:
            running.wait_for(event="ready")
            probes = web(running)
            assert probes.get("/healthz").status == 200
            daemon.answers["/v1/proxy"] = says(b"")
            wait_for(lambda: True if probes.get("/healthz").status == 503 else None, running.server.output)
            assert file.exists(), "it stays where it is"
            daemon.answers["/v1/proxy"] = answers(minted)
            running.wait_for(event="renewed", times=2)
            assert probes.get("/healthz").status == 200
            file.unlink()
            assert probes.get("/healthz").status == 503


def test_metrics(world: Living, tmp_path: Path) -> None:
    with probed(world, tmp_path) as probes:
        answer = probes.get("/metrics")
        families = {family.name: family for family in text_string_to_metric_families(answer.body.decode())}
        assert answer.headers["Content-Type"] == "text/plain; version=0.0.4"
        samples = {
            (sample.name.removeprefix("ttscache_sidecar_"), sample.labels["kind"]): sample.value
            for family in families.values()
            for sample in family.samples
        }
        for kind in ("bearer", "trust"):
            assert samples["present", kind] == 1
            assert samples["renewals_total", kind] == 1
            assert samples["failures", kind] == 0
            assert samples["written_timestamp_seconds", kind] > 1.7e9
        assert samples["not_after_timestamp_seconds", "bearer"] > 1.7e9
        assert ("not_after_timestamp_seconds", "trust") not in samples
        told = {sample.labels["path"] for family in families.values() for sample in family.samples}
        assert told == {str(tmp_path / "bearer"), str(tmp_path / "trust")}


@pytest.mark.parametrize("name", ['quo"te', "back\\slash", "new\nline"])
def test_a_path_is_told_as_it_is(name: str, tmp_path: Path) -> None:
    token = tmp_path / "token"
    asked = ("--url", "http://127.0.0.1:1", "--token-file", token, "--bearer", tmp_path / name, "--health", LOOPBACK)
    with sidecar(tmp_path, *asked, env=environment()) as running:
        families = text_string_to_metric_families(web(running).get("/metrics").body.decode())
        paths = {sample.labels["path"] for family in families for sample in family.samples}
        assert paths == {str(tmp_path / name)}


def test_anything_else(world: Living, tmp_path: Path) -> None:
    with probed(world, tmp_path) as probes:
        for path in ("/", "/healthz/", "/healthz?x", "/../healthz", "/etc/passwd"):
            assert probes.get(path).status == 404, path
        assert probes.call("POST", "/healthz", body=b"x").status == 501
        with probes.socket() as stream:
            stream.sendall(b"garbage\r\n\r\n")
            assert stream.recv(65536)
        assert probes.raw(b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\n\r\n").status == 414
        assert probes.raw(b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 200 + b"\r\n").status == 431
        assert probes.get("/healthz").status == 200


def test_who_holds_connections_open_blocks_no_probe(world: Living, tmp_path: Path) -> None:
    with probed(world, tmp_path) as probes, ExitStack() as stack:
        for number in range(100):
            idle = stack.enter_context(probes.socket())
            if number % 2:
                idle.sendall(b"GET /healthz HTTP/1.1\r\nHost: ")
        for _ in range(20):
            assert probes.get("/healthz").status == 200


def test_a_port_that_is_taken_is_a_mistake(world: Living, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with world.sidecar(tmp_path, "--bearer", tmp_path / "bearer", "--health", address) as running:
            assert running.ended() == 2
            (line,) = running.server.output().splitlines()
            assert line.startswith(f"ttscache: --health: {address} cannot be listened on: Address already in use")
    assert not (tmp_path / "bearer").exists()
