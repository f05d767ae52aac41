"""What only a certain place or moment brings out: others' links, files that were given away, the first process."""

import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults.disks import fill, tmpfs
from tests.sidecar.living import Living
from tests.sidecar.others import STRANGER
from tests.sidecar.running import once
from tests.tools.daemons import COMMAND, here
from tests.tools.programs import PATIENCE, need, wait_for
from ttscache.durable import Owner
from ttscache.sidecar.door import Door
from ttscache.sidecar.keeping import remembered
from ttscache.sidecar.order import Item, Kind, Known
from ttscache.sidecar.place import Place, UnsafePlaceError


@pytest.mark.root
def test_nothing_is_made_behind_another_s_link(shared: Path, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.mkdir()
    (shared / "link").symlink_to(victim)
    os.chown(shared / "link", STRANGER, STRANGER, follow_symlinks=False)
    with pytest.raises(UnsafePlaceError):
        Place(shared / "link/certificates", 0o644, None, make=True)
    assert not list(victim.iterdir())


def test_a_directory_is_made_but_not_its_parents(tmp_path: Path) -> None:
    with Place(tmp_path / "made", 0o644, None, make=True) as place:
        place.write("file", b"content")
    assert (tmp_path / "made/file").read_bytes() == b"content"
    with pytest.raises(FileNotFoundError):
        Place(tmp_path / "not/made", 0o644, None, make=True)


@pytest.mark.root
def test_in_a_user_namespace_links_of_nobody_s_are_not_followed(shared: Path, tmp_path: Path) -> None:
    """There strangers look as root does."""
    need("unshare")
    victim = shared / "victim"
    victim.mkdir()
    (shared / "link").symlink_to(victim)
    os.chown(shared / "link", STRANGER, STRANGER, follow_symlinks=False)
    asked = (
        "import sys\nfrom pathlib import Path\nfrom ttscache.sidecar.place import open_directory, trusted_users\n"
        "try:\n    open_directory(Path(sys.argv[1]), trusted_users(None))\nexcept OSError as error:\n"
        "    print(error.strerror)\nelse:\n    print('entered')\n"
    )
    for name, said in (("victim", "entered"), ("link", "a part of the path belongs to another user")):
        command = ["unshare", "--user", "--map-root-user", sys.executable, "-c", asked]
        done = subprocess.run([*command, shared / name], capture_output=True, text=True, timeout=PATIENCE, check=False)
        if "unshare" in done.stderr:
            pytest.skip("no user namespaces here")
        assert done.stdout.startswith(said), done


def test_what_was_given_away_is_remembered_while_it_is_there(tmp_path: Path) -> None:
    file = tmp_path / "proxy"
    item = Item(Kind.PROXY, file, known=Known("/CN=jane", 100.0, 200.0))
    with Place(tmp_path, 0o600, Owner(os.geteuid(), os.getegid())) as place:
        assert remembered(place, item, 150.0) is None
        place.write(file.name, b"whatever")
        present = remembered(place, item, 150.0)
        assert present is not None
        assert (present.identity, present.not_after, present.fits) == ("/CN=jane", 200.0, True)
        assert remembered(place, item, 200.0) is None
        file.chmod(0o644)
        assert remembered(place, item, 150.0) is None, "somebody else's"


def test_a_fresh_one_that_lives_too_short_is_renewed(world: Living, tmp_path: Path) -> None:
    (tmp_path / "files").mkdir()
    proxy = tmp_path / "files/proxy"
    asked: list[str | Path] = ["--token-file", world.token, "--proxy", proxy, "--proxy-profile"]
    assert once(*asked, "short", env=world.env)[0].status == 0
    before = proxy.read_bytes()
    assert once(*asked, "short", env=world.env)[0].status == 0
    assert proxy.read_bytes() == before
    # no proxy of this profile lives for so long, but a new one may come nearer: it is asked for
    outcome, lines = once(*asked, "short", "--min-left", "100d", env=world.env)
    assert outcome.status == 5
    assert (lines[0]["event"], lines[0]["code"]) == ("failed", "lifetime_short")
    assert proxy.read_bytes() == before


@pytest.mark.parametrize(
    "same",
    [
        lambda tmp: ["--bearer", tmp / "token"],
        lambda tmp: ["--proxy", tmp / "files/../token"],
        lambda tmp: ["--proxy", tmp / "files/x", "--status", tmp / "link/x"],
        lambda tmp: ["--proxy", tmp / "files/x", "--bearer", tmp / "link/x"],
    ],
)
def test_two_things_at_one_path(tmp_path: Path, same: Callable[[Path], list[str | Path]]) -> None:
    (tmp_path / "files").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "files")
    (tmp_path / "token").write_text("token")
    outcome = here(
        "sidecar", "--once", "--url", "https://127.0.0.1:1", "--token-file", tmp_path / "token", *same(tmp_path)
    )
    assert outcome.status == 2
    assert (tmp_path / "token").read_text() == "token"


def test_a_door_that_opens() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))  # nobody listens yet
        door = Door(f"https://127.0.0.1:{listener.getsockname()[1]}")
        assert not door.knock()
        door.tried_in_vain()
        wait_for(lambda: (not door.knock() and door._was_shut) or None, lambda: "never found shut")
        listener.listen()
        wait_for(lambda: door.knock() or None, lambda: "never found open")
        assert not door.shut


def test_a_door_that_was_open_is_not_what_was_wrong() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        door = Door(f"https://127.0.0.1:{listener.getsockname()[1]}")
        door.tried_in_vain()
        opened = False

        def probe() -> bool | None:
            nonlocal opened
            opened = door.knock() or opened
            return None if door.shut else True

        wait_for(probe, lambda: "never found open")
        assert not opened


@pytest.mark.root
def test_as_the_first_process_it_buries_orphans(world: Living, tmp_path: Path) -> None:
    need("unshare")
    (tmp_path / "files").mkdir()
    # the orphan ends while the command goes on; then whoever is dead and not buried is counted
    script = "sh -c 'sleep 0.2 & exit 0'; sleep 1.5; cat /proc/[0-9]*/stat | awk '$3 == \"Z\"' | wc -l"
    command = ["unshare", "--pid", "--fork", "--mount-proc", str(COMMAND), "sidecar"]
    arguments: list[str | Path] = [
        "--token-file",
        world.token,
        "--idtoken",
        tmp_path / "files/token",
        "--",
        "sh",
        "-c",
        script,
    ]
    done = subprocess.run(
        [*command, *arguments], env=world.env, capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    assert (done.returncode, done.stdout.strip()) == (0, "0"), done


@pytest.mark.root
def test_who_is_revoked_loses_his_file_on_a_full_disk_too(world: Living, tmp_path: Path) -> None:
    """Nothing is issued that could not be written, but it is asked who is welcome."""
    with tmpfs(tmp_path / "disk", "size=64k") as disk:
        (disk / "files").mkdir()
        token, kept = world.token_of("joe", tmp_path), ("--proxy", disk / "files/proxy", "--proxy-profile", "short")
        assert world.once(*kept, token=token)[0].status == 0
        ballast = fill(disk)
        world.revoke("joe")
        try:
            outcome, lines = world.once(*kept, token=token)
        finally:
            world.restore("joe")
        ballast.unlink()
        assert (outcome.status, lines[0]["event"], lines[0]["code"]) == (3, "removed", "subject_revoked")
        assert not list((disk / "files").iterdir())
