"""`ttscache store`: what is moved is the same elsewhere, and nothing is moved of what is not whole."""

import asyncio
import contextlib
import json
import os
import pty
import shutil
import signal
import sqlite3
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from tests.cli.test_exchange import failed
from tests.tools.daemons import COMMAND, LiveIam, Outcome, change, here, make_site, serve, ttscache
from tests.tools.programs import environment, need, wait_for
from tests.tools.redis import RedisServer
from ttscache.app.stores import open_store, require_usable
from ttscache.config.load import load
from ttscache.sandbox.iam import IamConfig
from ttscache.sandbox.site import Site, prepare

SECRET = b"planted-secret-0123456789abcdef"
# more than a page of the store's, and neither text nor empty alone
RECORDS = {f"session/{number:04}": SECRET + bytes([number % 256]) * (number % 50) for number in range(600)} | {"a": b""}
LATER = float(int(time.time())) + 3600.25
Lines = list[bytes]


@pytest.fixture(scope="session")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Site:
    """A site with a store as daemons leave it; the record that readiness writes is not to be moved."""
    made = Site(tmp_path_factory.mktemp("filled"))
    prepare(made, "http://127.0.0.1:1/", IamConfig(), 0)
    fill(made, {**RECORDS, "probe": b""})
    return made


@pytest.fixture
def site(filled: Site, tmp_path: Path) -> Site:
    """A copy of it for one test."""
    copied = Site(tmp_path / "site")
    shutil.copytree(filled.directory, copied.directory)
    return copied


@pytest.fixture
def exported(site: Site, tmp_path: Path) -> Path:
    out = tmp_path / "exported"
    done(here("store", "export", "-c", site.configuration, "-o", out))
    return out


def fill(site: Site, records: Mapping[str, bytes]) -> None:
    async def put() -> None:
        store = open_store(load(site.configuration))
        await require_usable(store)
        for key, value in records.items():
            await store.put(key, value, expires_at=LATER)
        await store.close()

    asyncio.run(put())


def contents(site: Site) -> dict[str, tuple[bytes, float]]:
    """Return what is in the store but for the canary, opened."""

    async def scan() -> dict[str, tuple[bytes, float]]:
        store = open_store(load(site.configuration))
        await require_usable(store)
        found = {key: (record.value, record.expires_at) async for key, record in store.scan("")}
        await store.close()
        return found

    found = asyncio.run(scan())
    assert found.pop("canary")[0] == b""
    return found


def use(site: Site, url: str) -> None:
    change(site, lambda document: document["store"].update(url=url))


def done(outcome: Outcome) -> Outcome:
    """What may have told its name on standard error, where the machine was slow."""
    assert outcome.status == 0, outcome
    return outcome


def told(outcome: Outcome) -> dict[str, object]:
    return done(outcome).json


def names(directory: Path) -> list[str]:
    return sorted(file.name for file in directory.iterdir())


MOVED = {key: (value, LATER) for key, value in RECORDS.items()}


def test_an_export_is_sealed_and_nobody_else_s(site: Site, exported: Path, tmp_path: Path) -> None:
    assert stat.S_IMODE(exported.stat().st_mode) == 0o600
    assert names(tmp_path) == ["exported", "site"]
    lines = [json.loads(line) for line in exported.read_bytes().splitlines()]
    assert (lines[0]["kind"], lines[0]["format"], lines[-1]) == ("ttscache-store", 1, {"count": len(RECORDS) + 1})
    assert [line["key"] for line in lines[1:-1]] == sorted([*RECORDS, "canary"])
    for where in (exported, *site.directory.glob("state.db*")):
        assert SECRET not in where.read_bytes()


def test_standard_output(site: Site, exported: Path, tmp_path: Path) -> None:
    for arguments in ((), ("-o", "-"), ("--output", "json")):
        assert done(here("store", "export", "-c", site.configuration, *arguments)).out == exported.read_bytes()
    assert names(tmp_path) == ["exported", "site"]
    assert done(ttscache("store", "export", "-c", site.configuration)).out == exported.read_bytes()


def test_what_is_told(site: Site, tmp_path: Path) -> None:
    out, count = tmp_path / "out", len(RECORDS) + 1
    exporting = ("store", "export", "-c", site.configuration, "-o", out)
    assert done(here(*exporting)).text == f"{count} exported to {out}\n"
    assert told(here(*exporting, "--output", "json")) == {"exported": count, "file": str(out)}
    use(site, "sqlite:///new.db")
    importing = ("store", "import", "-c", site.configuration, out)
    assert told(here(*importing, "--output", "json")) == {"imported": count, "kept": 0, "expired": 0}
    assert done(here(*importing)).text == f"0 imported, {count} kept, 0 expired\n"
    resealing = ("store", "reseal", "-c", site.configuration)
    assert told(here(*resealing, "--output", "json")) == {"resealed": 0, "current": count, "unreadable": 0}
    text = f"0 resealed, {count} sealed with the first key already, 0 could not be opened\n"
    assert done(here(*resealing)).text == text


def test_from_sqlite_to_sqlite(site: Site, exported: Path) -> None:
    use(site, "sqlite:///new.db")
    old = os.umask(0)
    try:
        done(here("store", "import", "-c", site.configuration, exported))
    finally:
        os.umask(old)
    assert stat.S_IMODE((site.directory / "new.db").stat().st_mode) == 0o600
    assert contents(site) == MOVED
    assert not set(sealed(site.directory / "state.db").values()) & set(sealed(site.directory / "new.db").values())


def sealed(database: Path) -> dict[str, bytes]:
    with contextlib.closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        return dict(connection.execute("SELECT key, value FROM records").fetchall())


def test_through_redis_and_back(site: Site, exported: Path, tmp_path: Path) -> None:
    with RedisServer() as redis:
        use(site, redis.url)
        asked = ("store", "import", "-c", site.configuration, exported, "--output", "json")
        assert told(here(*asked))["imported"] == len(RECORDS) + 1
        assert told(here(*asked))["kept"] == len(RECORDS) + 1
        assert contents(site) == MOVED
        assert told(here("store", "reseal", "-c", site.configuration, "--output", "json"))["resealed"] == 0
        back = tmp_path / "back"
        done(here("store", "export", "-c", site.configuration, "-o", back))
        redis.kill()
        failed(here("store", "export", "-c", site.configuration, "-o", tmp_path / "absent"), 4, "store_unavailable")
    assert not (tmp_path / "absent").exists()
    use(site, "sqlite:///new.db")
    done(here("store", "import", "-c", site.configuration, back))
    assert contents(site) == MOVED


def test_a_redis_that_may_forget_records_is_refused(site: Site, exported: Path) -> None:
    with RedisServer(policy="allkeys-lru") as redis:
        use(site, redis.url)
        failed(here("store", "import", "-c", site.configuration, exported), 2, "store.url")


def test_what_is_there_is_kept(site: Site, exported: Path) -> None:
    use(site, "sqlite:///new.db")
    fill(site, {"session/0001": b"newer"})
    answer = told(here("store", "import", "-c", site.configuration, exported, "--output", "json"))
    assert answer == {"imported": len(RECORDS) - 1, "kept": 2, "expired": 0}
    assert contents(site) == {**MOVED, "session/0001": (b"newer", LATER)}


def test_an_import_that_was_killed_goes_on(site: Site, exported: Path) -> None:
    use(site, "sqlite:///new.db")
    argv: list[str | Path] = [COMMAND, "store", "import", "-c", site.configuration, exported]
    with subprocess.Popen(argv, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE) as importing:
        database = site.directory / "new.db"

        def begun() -> bool | None:
            assert importing.poll() is None, importing.communicate()
            with contextlib.suppress(sqlite3.OperationalError):  # it is just being made
                return len(sealed(database)) > 1 or None
            return None

        wait_for(begun, lambda: "nothing imported")
        importing.kill()
    answer = told(here("store", "import", "-c", site.configuration, exported, "--output", "json"))
    assert isinstance(answer["kept"], int)
    assert isinstance(answer["imported"], int)
    assert answer["kept"] > 1
    assert answer["kept"] + answer["imported"] == len(RECORDS) + 1
    assert contents(site) == MOVED


def test_expired_records_stay_behind(site: Site, exported: Path) -> None:
    text = exported.read_bytes().replace(f'"expires_at":{LATER}'.encode(), b'"expires_at":1000000000', 3)
    exported.write_bytes(text)
    use(site, "sqlite:///new.db")
    answer = told(here("store", "import", "-c", site.configuration, exported, "--output", "json"))
    assert answer == {"imported": len(RECORDS) - 2, "kept": 0, "expired": 3}
    assert len(contents(site)) == len(RECORDS) - 3


def _edited(number: int, **fields: object) -> Callable[[Lines], Lines]:
    def edit(lines: Lines) -> Lines:
        changed = {**json.loads(lines[number]), **fields}
        return [*lines[:number], json.dumps(changed).encode() + b"\n", *lines[number:][1:]]

    return edit


def _exchanged(lines: Lines) -> Lines:
    """Two records with each other's values."""
    one, other = json.loads(lines[3]), json.loads(lines[4])
    return _edited(4, value=one["value"])(_edited(3, value=other["value"])(lines))


def _bit(lines: Lines) -> Lines:
    value = str(json.loads(lines[9])["value"])
    return _edited(9, value=value[:-8] + ("B" if value[-8] != "B" else "C") + value[-7:])(lines)


@pytest.mark.parametrize(
    "damage, words",
    [
        (lambda _: [], "no file of"),
        (lambda _: [b"\x00\xff" * 5000], "no file of"),
        (lambda _: [b"[" * 200_000], "no file of"),
        (lambda _: [b"{}\n"], "no file of"),
        (lambda lines: lines[1:], "no file of"),
        (_edited(0, format=2, version="9.8\n\x1b[31m"), "written by ttscache 9.8  [31m, in a form"),
        (_edited(0, format=None), "in a form"),
        (lambda lines: lines[:1], "behind 0 records"),
        (lambda lines: lines[:-1], f"behind {len(RECORDS) + 1} records"),
        (lambda lines: lines[:300], "behind 299 records"),
        (lambda lines: [*lines[:300], lines[300][:-40]], "line 301 is no record"),
        (lambda lines: [*lines[:-1], lines[-1][:-3]], "is no record"),
        (lambda lines: [*lines[:300], *lines[301:]], "another number"),
        (lambda lines: [*lines, *lines], "goes on"),
        (lambda lines: [*lines, b"\n"], "goes on"),
        (lambda lines: [*lines[:5], b"\n", *lines[5:]], "line 6 is no record"),
        (_edited(-1, count="601"), "another number"),
        (_edited(7, expires_at="soon"), "line 8 is no record"),
        (_edited(7, expires_at=float("nan")), "line 8 is no record"),
        (_edited(7, expires_at=float("inf")), "line 8 is no record"),
        (_edited(7, expires_at=-1), "line 8 is no record"),
        (_edited(7, expires_at=10**400), "line 8 is no record"),
        (_edited(7, key=None), "line 8 is no record"),
        (_edited(7, key="\ud800"), "line 8 is no record"),
        (_edited(7, value="***"), "line 8 is no record"),
        (_edited(7, value=""), "line 8: "),
        (_edited(7, key="session/other"), "line 8: "),
        (_bit, "line 10: "),
        (_exchanged, "line 4: "),
    ],
)
def test_nothing_is_imported_of_a_damaged_file(
    site: Site, exported: Path, damage: Callable[[Lines], Lines], words: str
) -> None:
    exported.write_bytes(b"".join(damage(exported.read_bytes().splitlines(keepends=True))))
    use(site, "sqlite:///new.db")
    outcome = failed(here("store", "import", "-c", site.configuration, exported), 2, f"{exported}: ", words)
    assert outcome.out == b""
    assert "new.db" not in names(site.directory)


def test_a_value_of_another_ring_is_refused(site: Site, exported: Path) -> None:
    (site.directory / "seal.key").write_bytes(b"x" * 32)
    use(site, "sqlite:///new.db")
    failed(here("store", "import", "-c", site.configuration, exported), 2, "line 2: ", "does not open")
    change(site, lambda document: document["store"]["sealing_keys"][0].update(id="k9"))
    failed(here("store", "import", "-c", site.configuration, exported), 2, "line 2: ", "not in `sealing_keys`")
    assert "new.db" not in names(site.directory)


def test_a_store_of_another_ring_is_refused(site: Site, exported: Path) -> None:
    (site.directory / "other.key").write_bytes(b"x" * 32)
    (site.directory / "other.key").chmod(0o600)
    keys = [{"id": "other", "file": "other.key"}]
    other = Site(site.directory.with_name("other"))
    shutil.copytree(site.directory, other.directory)
    change(other, lambda document: document["store"].update(url="sqlite:///new.db", sealing_keys=keys))
    fill(other, {})
    (other.directory / "new.db").rename(site.directory / "new.db")
    use(site, "sqlite:///new.db")
    failed(here("store", "import", "-c", site.configuration, exported), 2, "store.sealing_keys")
    assert list(sealed(site.directory / "new.db")) == ["canary"]


def test_stores_that_are_not_there(site: Site, exported: Path) -> None:
    use(site, "memory:")
    for arguments in (("export",), ("reseal",), ("import", exported)):
        failed(here("store", *arguments, "-c", site.configuration), 2, "the store is memory")
    use(site, "sqlite:///new.db")
    for arguments in (("export",), ("reseal",)):
        failed(here("store", *arguments, "-c", site.configuration), 2, "not there yet", "new.db")
    assert "new.db" not in names(site.directory)
    (site.directory / "new.db").write_bytes(b"no database" * 100)
    for arguments in (("export",), ("reseal",), ("import", exported)):
        failed(here("store", *arguments, "-c", site.configuration), 4, "store_unavailable")


def test_mistaken_use(site: Site, tmp_path: Path) -> None:
    asked = ("-c", site.configuration)
    failed(here("store", "export"), 2, "--config")
    failed(here("store", "import", *asked), 2, "IN")
    failed(here("store", "import", *asked, tmp_path / "absent"), 2, "absent")
    failed(here("store", "import", *asked, tmp_path), 2, "directory")
    failed(here("store", "export", *asked, "-o", tmp_path), 2, "directory")
    failed(here("store", "export", *asked, "-o", tmp_path / "absent/out"), 1, "No such file")
    os.mkfifo(tmp_path / "pipe")
    failed(here("store", "export", *asked, "-o", tmp_path / "pipe"), 2, "regular file")
    failed(here("store", "import", *asked, tmp_path / "pipe"), 2, "regular file")


def test_an_export_that_finds_no_space_leaves_the_old_file(site: Site, exported: Path, tmp_path: Path) -> None:
    need("prlimit")
    fill(site, {f"large/{number}": os.urandom(9000) for number in range(30)})
    before = exported.read_bytes()
    argv: list[str | Path] = ["prlimit", "--fsize=300000", COMMAND, "store", "export"]
    argv += ["-c", site.configuration, "-o", exported]
    ended = subprocess.run(argv, env=environment(), capture_output=True, check=False)
    assert ended.returncode == 1, ended
    assert b"File too large" in ended.stderr
    assert exported.read_bytes() == before
    assert names(tmp_path) == ["exported", "site"]


def test_what_takes_long_is_seen(site: Site) -> None:
    script = (
        "import sys, ttscache.cli.store as s; s._QUIET_SECONDS = 0; from ttscache.cli import main; main(sys.argv[1:])"
    )
    argv = [sys.executable, "-c", script, "store", "reseal", "-c", str(site.configuration)]
    plain = subprocess.run(argv, env=environment(), capture_output=True, check=True)
    assert plain.stderr == b"sealing\n"
    controller, terminal = pty.openpty()
    with subprocess.Popen(argv, env=environment(TERM="vt100"), stdout=subprocess.PIPE, stderr=terminal) as shown:
        os.close(terminal)
        seen = b"".join(iter(lambda: _read(controller), b""))
        assert shown.stdout is not None
        assert shown.stdout.read() == plain.stdout
    os.close(controller)
    assert b"sealing  [" in seen
    assert b"500" in seen


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 4096)
    except OSError:  # nobody writes there any more
        return b""


@pytest.fixture
def iam() -> Iterator[LiveIam]:
    with LiveIam() as live:
        yield live


def test_a_daemon_goes_on_with_the_new_store(iam: LiveIam, tmp_path: Path) -> None:
    site, out = make_site(tmp_path, iam), tmp_path / "out"
    change(site, lambda document: document["issuers"][0].update(session={"confirm": "1s"}))
    token = iam.token()
    with serve(site, tmp_path) as daemon:
        first = daemon.web.get("/v1/proxy", token)
        assert first.status == 200, first
        proxy = first.body
        crl = daemon.web.get("/trust/crl.der").body
        # while it runs
        done(here("store", "export", "-c", site.configuration, "-o", out))
        assert daemon.web.get("/v1/proxy", token).body == proxy
        assert daemon.stop() == 0
    refreshed = iam.grants.get("refresh_token", 0)
    done(here("store", "export", "-c", site.configuration, "-o", out))
    use(site, "sqlite:///new.db")
    done(here("store", "import", "-c", site.configuration, out))
    with serve(site, tmp_path) as daemon:
        assert daemon.web.get("/v1/proxy", token).body == proxy
        assert daemon.web.get("/trust/crl.der").body == crl
        time.sleep(1.1)
        assert daemon.web.get("/v1/proxy?lifetime=1800", token).status == 200
        assert iam.grants["token_exchange"] == 1, "the session is the one of before"
        assert iam.grants["refresh_token"] > refreshed, "and so is its refresh token"
        daemon.signal(signal.SIGTERM)
        daemon.server.ended()
