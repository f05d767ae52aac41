"""Trust directories over a base, and files for another owner."""

import os
import shutil
from pathlib import Path

import pytest

from tests.client.misbehaving import http
from tests.sidecar.hostile import hostile, says
from tests.sidecar.living import Living
from tests.sidecar.running import Sidecar, sidecar
from tests.sidecar.test_hostile_archives import everything, packed
from tests.tools import openssl
from tests.tools.daemons import unpack
from tests.tools.minting import authority, write_private
from tests.tools.programs import environment
from ttscache.sidecar.order import Kind


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """A base as on cvmfs: files under names of hashes are links."""
    directory = tmp_path / "base"
    directory.mkdir()
    (directory / "IGTF.pem").write_bytes(authority("/DC=org/CN=IGTF").certificate_pem())
    (directory / "0badcafe.0").symlink_to("IGTF.pem")
    (directory / "policy.info").write_text("version = 1")
    return directory


def looked_again(running: Sidecar) -> None:
    """Have it look again at what has changed."""
    running.renew("trust")


def test_the_daemons_files_over_those_of_a_base(world: Living, base: Path, tmp_path: Path) -> None:
    (published := tmp_path / "published").mkdir()
    unpack(world.site.daemon.web.get("/trust/anchors.tar.gz").body, published)
    ours = {path.name: path.read_bytes() for path in published.iterdir()}
    mine = next(name for name in ours if name.endswith(".0"))
    (base / mine).write_text("somebody else's idea of our CA")
    trust = tmp_path / "trust"
    trust.mkdir()
    (trust / "local.pem").write_text("not the sidecar's")
    (trust / ".hidden").write_text("nor this")
    theirs = {"IGTF.pem": (base / "IGTF.pem").read_bytes(), "0badcafe.0": (base / "IGTF.pem").read_bytes()}
    strangers = {"local.pem": b"not the sidecar's", ".hidden": b"nor this"}
    proxy = tmp_path / "proxy"
    with world.sidecar(tmp_path, "--trust", trust, "--trust-base", base, "--proxy", proxy) as running:
        running.wait_for(event="ready")
        expected = {**ours, **theirs, "policy.info": b"version = 1", **strangers}
        assert everything(trust) == {**expected, ".ttscache": (trust / ".ttscache").read_bytes()}
        assert not any(path.is_symlink() for path in trust.iterdir()), "who reads them need not see the base"
        assert openssl.verify(proxy.read_bytes(), trust, crl_check=True)

        (base / "policy.info").write_text("version = 2")
        looked_again(running)
        assert (trust / "policy.info").read_text() == "version = 2"

        (base / "IGTF.pem").unlink()  # and so what the link leads to
        (base / mine).unlink()
        looked_again(running)
        remaining = {**ours, "policy.info": b"version = 2", **strangers}
        assert everything(trust) == {**remaining, ".ttscache": (trust / ".ttscache").read_bytes()}
        assert running.stop() == 0


@pytest.mark.parametrize("code", ["file_failed", "base_empty"])
def test_a_base_that_is_away_takes_nothing_along(code: str, world: Living, base: Path, tmp_path: Path) -> None:
    trust = tmp_path / "trust"
    with world.sidecar(tmp_path, "--trust", trust, "--trust-base", base) as running:
        running.wait_for(event="ready")
        before = everything(trust)
        shutil.rmtree(base)
        if code == "base_empty":
            base.mkdir()
        outcome, log = world.once("--trust", trust, "--trust-base", base)
        assert (outcome.status, log[0]["code"]) == (0, code)
        assert everything(trust) == before
        base.mkdir(exist_ok=True)
        (base / "back.0").write_text("back")
        looked_again(running)
        assert (trust / "back.0").read_text() == "back"
        assert not (trust / "IGTF.pem").exists()


def test_what_the_daemon_has_no_more_goes_but_what_somebody_put_there_stays(tmp_path: Path) -> None:
    token = write_private(tmp_path / "token", b"token")
    directory = tmp_path / "vomsdir"
    directory.mkdir()
    (directory / "atlas").mkdir()
    (directory / "atlas/voms.example.lsc").write_text("local")
    first = {"cms/one.lsc": b"1", "cms/two.lsc": b"2", "lhcb/one.lsc": b"1"}
    with hostile(vomsdir=says(http(packed(first)))) as daemon:
        asked = ("--url", daemon.url, "--token-file", token, "--vomsdir", directory)
        with sidecar(tmp_path, *asked, env=environment()) as running:
            running.wait_for(event="ready")
            daemon.answers["/trust/vomsdir.tar.gz"] = says(http(packed({"cms/two.lsc": b"new"})))
            running.renew(Kind.VOMSDIR.value)
    files = {name: content for name, content in everything(directory).items() if content is not None}
    assert files.keys() == {".ttscache", "cms/two.lsc", "atlas/voms.example.lsc"}
    assert files["cms/two.lsc"] == b"new"


@pytest.mark.root
def test_files_for_another_owner(world: Living, shared: Path, tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("giving files away needs root")
    shared.chmod(0o755)
    os.chown(shared, 12345, 54321)
    proxy, bearer = shared / "proxy", shared / "bearer"
    kept = ("--proxy", proxy, "--bearer", bearer, "--owner", "12345:54321", "--mode", "0400")
    with world.sidecar(tmp_path, *kept) as running:
        running.wait_for(event="ready")
        running.renew("proxy")
        assert running.stop() == 0
    for path in (proxy, bearer):
        status = path.stat()
        assert (status.st_uid, status.st_gid, status.st_mode & 0o777) == (12345, 54321, 0o400)
    assert sorted(path.name for path in shared.iterdir()) == ["bearer", "proxy"]
