"""`ttscache mapfile`: what is printed, what is told, and what is left as it was."""

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from unittest.mock import patch

import pytest
import yaml

from proxy_gen.mapfiles import condor, gridmap
from tests.cli.test_exchange import failed, good
from tests.mapping.people import identity
from tests.tools.daemons import Daemon, here
from ttscache.app.stores import open_store
from ttscache.broker.ownership import Owners
from ttscache.config.load import load
from ttscache.mapping.engine import decide
from ttscache.mapping.exports import Format
from ttscache.sandbox.iam import IamConfig
from ttscache.sandbox.site import Site, prepare

TOP = "/DC=ch/DC=example"
ROBOT = {"name": "robot", "when": {"groups": "/cms"}, "dn": f"{TOP}/CN=robot", "account": "cmsrobot", "shared": True,
         "fqans": ["/cms"], "scopes": ["storage.read:/store"], "profiles": ["short"]}  # fmt: skip
USERS = {"name": "users", "when": {}, "dn": f"{TOP}/CN={{preferred_username}}/CN=u-{{sub}}",
         "account": "{preferred_username}", "profiles": ["short"]}  # fmt: skip
Configured = Callable[..., Path]


@pytest.fixture
def configured(tmp_path: Path) -> Configured:
    """Write a configuration with these rules."""
    site = Site(tmp_path / "site")
    prepare(site, "http://127.0.0.1:1/", IamConfig(), 0)

    def write(*rules: dict[str, object], **changes: object) -> Path:
        document = yaml.safe_load(site.configuration.read_text()) | {"mapping": list(rules)} | changes
        site.configuration.write_text(yaml.safe_dump(document))
        return site.configuration

    return write


@pytest.mark.parametrize("name", [form.value for form in Format])
def test_every_format(configured: Configured, name: str) -> None:
    printed = good(here("mapfile", "--format", name, "-c", configured(ROBOT))).text
    assert "cmsrobot" in printed
    assert printed.endswith("\n")


def test_htcondor_s_file_maps_users(configured: Configured) -> None:
    printed = good(here("mapfile", "--format", "condor-hash", "-c", configured(ROBOT, USERS))).text
    reader = condor.Reader(printed, assume_hash=True)
    assert [reader.map("SSL", TOP + cn) for cn in ("/CN=robot", "/CN=jane/CN=u-1")] == ["cmsrobot", "jane"]


def test_known_names_come_out_of_the_store(configured: Configured) -> None:
    file = configured(ROBOT, USERS)
    settings, jane = load(file), identity()

    async def give() -> None:
        store = open_store(settings)
        await Owners(store, lambda: 2e9).require(decide(settings.rules[1:], jane), jane)
        await store.close()

    asyncio.run(give())
    printed = good(here("mapfile", "--format", "gridmap", "-c", file)).text
    assert gridmap.read(printed) == {f"{TOP}/CN=robot": "cmsrobot", f"{TOP}/CN=jane/CN=u-a1": "jane"}


def test_names_that_the_daemon_gave_are_known(daemon: Daemon, cli: Callable[..., object], tmp_path: Path) -> None:
    cli("exchange", "--token-file", daemon.site.token, "--profile", "short")
    asked = ("mapfile", "--format", "gridmap", "-c")
    # other tests' names are there as well
    given = gridmap.read(here(*asked, daemon.site.configuration).text)
    assert [account for name, account in given.items() if "/OU=production/CN=jane/CN=u-" in name] == ["cmsprod"]
    document = yaml.safe_load(daemon.site.configuration.read_text())
    for rule in document["mapping"]:
        rule["dn"] = document["mapping"][0]["dn"]  # which does not tell the two rules apart
    beside = daemon.site.directory / f"{tmp_path.name}.yaml"
    beside.write_text(yaml.safe_dump(document))
    told = here(*asked, beside)
    assert (told.status, told.out) == (0, b"")
    assert "rule 'users' can give the same DN" in told.err


def test_what_is_left_out_is_told_line_by_line(configured: Configured) -> None:
    other = {**USERS, "name": "other", "account": "x"}
    told = here("mapfile", "--format", "condor", "-c", configured(ROBOT, USERS, other))
    assert told.status == 0
    assert told.text.count("\n") == 1
    assert [line.split(": ")[1] for line in told.err.splitlines()] == ["rule 'users'", "rule 'other'"]


def test_only_a_store_that_is_needed_is_opened(configured: Configured, tmp_path: Path) -> None:
    broken = {"url": "sqlite:///state.db", "sealing_keys": [{"id": "k1", "file": "seal.key"}]}
    file = configured(ROBOT, store=broken)
    (tmp_path / "site/state.db").write_bytes(b"no database" * 100)
    good(here("mapfile", "--format", "gridmap", "-c", file))
    configured(ROBOT, USERS, store=broken)
    good(here("mapfile", "--format", "condor", "-c", file))
    failed(here("mapfile", "--format", "gridmap", "-c", file), 4, "store_unavailable")
    configured(ROBOT, USERS, store={"url": "memory:"})
    assert "the store is memory" in here("mapfile", "--format", "gridmap", "-c", file).err


def test_a_store_is_not_made(configured: Configured, tmp_path: Path) -> None:
    file = configured(ROBOT, USERS)
    before = sorted((tmp_path / "site").iterdir())
    told = here("mapfile", "--format", "gridmap", "-c", file)
    assert (told.status, told.text) == (0, f'"{TOP}/CN=robot" cmsrobot\n')
    assert f"is not there yet ({load(file).store.path})" in told.err
    assert sorted((tmp_path / "site").iterdir()) == before


def test_into_a_file(configured: Configured, tmp_path: Path) -> None:
    out, file = tmp_path / "map", configured(ROBOT)
    out.write_text("old")
    assert good(here("mapfile", "--format", "gridmap", "-c", file, "-o", out)).text == ""
    assert out.read_text() == f'"{TOP}/CN=robot" cmsrobot\n'
    assert out.stat().st_mode & 0o777 == 0o644
    failed(here("mapfile", "--format", "gridmap", "-c", file, "-o", tmp_path / "absent/map"), 1, "No such file")


@pytest.fixture
def careless() -> Iterator[None]:
    """A writer that forgets to anchor."""
    whole = condor.line
    with patch.object(condor, "line", lambda entry, form: whole(entry, form).replace("$", "")):
        yield


def test_a_file_that_fails_the_self_check_is_not_written(
    configured: Configured, tmp_path: Path, careless: None
) -> None:
    out, file = tmp_path / "map", configured(ROBOT)
    out.write_text("old")
    for more in ((), ("-o", out)):
        told = here("mapfile", "--format", "condor", "-c", file, *more)
        assert (told.status, told.out) == (1, b"")
        assert "please report it" in told.err
    assert out.read_text() == "old"


def test_issuers(configured: Configured) -> None:
    issuers = [{"name": name, "url": f"http://127.0.0.1:1/{name}/", "audiences": ["a"], "token_profile": profile}
               for name, profile in (("cms", "wlcg"), ("iam", "iam"))]  # fmt: skip
    rules = [{**ROBOT, "name": "sub", "when": {"issuer": "iam", "sub": "s"}}, {**ROBOT, "when": {"issuer": "cms"}}]
    file = configured(*rules, issuers=issuers, admin={})
    arguments = ("mapfile", "--format", "xrootd-scitokens", "-c", file)
    failed(here(*arguments), 2, "cms, iam")
    failed(here(*arguments, "--issuer", "atlas"), 2, "cms, iam")
    assert '"sub": "s"' in good(here(*arguments, "--issuer", "iam")).text
    assert '"sub"' not in good(here(*arguments, "--issuer", "cms")).text
    failed(here("mapfile", "--format", "condor", "-c", file, "--issuer", "cms"), 2, "xrootd-scitokens")


def test_mistaken_use(configured: Configured) -> None:
    failed(here("mapfile", "-c", configured(ROBOT)), 2, "--format")
    failed(here("mapfile", "--format", "nis", "-c", configured(ROBOT)), 2, "nis")
    failed(here("mapfile", "--format", "condor"), 2, "--config")
