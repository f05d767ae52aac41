"""Archives that hold more than plain files, too much, or nothing: what was there stays."""

import gzip
import io
import json
import tarfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.client.misbehaving import http
from tests.sidecar.hostile import Answer, hostile, says, turn
from tests.tools.minting import write_private
from ttscache.sidecar.order import Item, Kind, Outcome, State

GOOD = {"1234abcd.0": b"a CA", "1234abcd.r0": b"its CRL"}
MEGABYTE = 1024 * 1024


def packed(files: Mapping[str, bytes], *others: tarfile.TarInfo) -> bytes:
    """Return a gzipped tar of files, and of what else there is."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w:gz") as tar:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
        for other in others:
            tar.addfile(other)
    return archive.getvalue()


def special(kind: bytes, target: str = "", name: str = "special") -> bytes:
    """Return an archive with something that is no file, after something good."""
    entry = tarfile.TarInfo(name)
    entry.type, entry.linkname = kind, target
    return packed({"first.0": b"new"}, entry)


def claiming(size: int, kind: bytes = tarfile.REGTYPE, content: bytes = b"") -> bytes:
    """Return an archive of one header that claims a size, and of some content."""
    entry = tarfile.TarInfo("big.0")
    entry.size, entry.type = size, kind
    return gzip.compress(entry.tobuf(tarfile.GNU_FORMAT) + content, 1)


def named(name: str) -> bytes:
    return packed({"first.0": b"new", name: b"evil"})


ARCHIVES = {
    "a name above": named("../evil"),
    "a name above, by a detour": named("cms/../../evil"),
    "a name from the root": named("/tmp/evil"),  # noqa: S108 - it is never written
    "a name in too deep": named("a/b/c"),
    "a hidden name": named(".ttscache"),
    "a name of two lines": named("a\nb"),
    "a long name": named("a" * 300),
    "no name": named(""),
    "a file below a file": packed({"a": b"file", "a/b": b"below"}),
    "a symbolic link": special(tarfile.SYMTYPE, "/etc/passwd"),
    "a link above": special(tarfile.SYMTYPE, ".."),
    "a hard link": special(tarfile.LNKTYPE, "first.0"),
    "a character device": special(tarfile.CHRTYPE),
    "a block device": special(tarfile.BLKTYPE),
    "a pipe": special(tarfile.FIFOTYPE),
    "a directory": special(tarfile.DIRTYPE),
    "many large files": packed({f"{number}.0": bytes(4 * MEGABYTE) for number in range(10)}),
    "many small files": packed({f"{number}.0": b"" for number in range(3000)}),
    "a claim of a terabyte": claiming(2**40),
    "a claim of less than nothing": claiming(-5),
    "a sparse claim": claiming(2**40, tarfile.GNUTYPE_SPARSE),
    # what Python reads of it by a pattern takes it hours
    "an extended header": claiming(4 * MEGABYTE, tarfile.XHDTYPE, b"0" * 4 * MEGABYTE),
    "a long name's header": claiming(4 * MEGABYTE, tarfile.GNUTYPE_LONGNAME, b"a" * 4 * MEGABYTE),
    "a text": gzip.compress(b"hello" * 500),
    "half": packed(GOOD)[:60],
    "half, but whole to gzip": gzip.compress(gzip.decompress(packed(GOOD))[:700]),
    "without an end": gzip.compress(gzip.decompress(packed({"1.0": b"new"}))[:1024]),
    "broken": packed(GOOD)[:40] + b"\xff" * 40,
    "with another checksum": packed(GOOD)[:-8] + b"\0" * 8,
    "HTML": b"<html>planted-secret</html>",
    "nothing": b"",
}


@pytest.fixture
def token(tmp_path: Path) -> Path:
    return write_private(tmp_path / "token", b"planted-token")


def everything(directory: Path) -> dict[str, bytes | None]:
    """Return what is in a directory: the files' contents, None for what is no file."""
    return {
        str(path.relative_to(directory)): path.read_bytes() if path.is_file() else None
        for path in sorted(directory.rglob("*"))
    }


def look(token: Path, answer: Answer, directory: Path, kind: Kind = Kind.TRUST) -> Outcome:
    with hostile(trust=answer, vomsdir=answer) as daemon:
        return turn(daemon, token, Item(kind, directory))


@pytest.mark.parametrize("kind", [Kind.TRUST, Kind.VOMSDIR])
@pytest.mark.parametrize("case", ARCHIVES)
def test_bad_archive(case: str, kind: Kind, token: Path, tmp_path: Path) -> None:
    answer = says(http(ARCHIVES[case]))
    directory, fresh = tmp_path / "parent/trust", tmp_path / "parent/fresh"
    directory.mkdir(parents=True)
    assert look(token, says(http(packed(GOOD))), directory, kind).state is State.RENEWED
    before = everything(tmp_path)
    old = look(token, answer, directory, kind)
    assert (old.state, old.code) == (State.FAILED, "answer_invalid")
    assert old.written_at is not None, "what is there is still good"
    new = look(token, answer, fresh, kind)
    assert (new.state, new.written_at) == (State.FAILED, None)
    assert everything(tmp_path) == before
    assert "planted" not in old.to_json()


def test_no_archive_that_is_larger_than_an_answer_may_be(token: Path, tmp_path: Path) -> None:
    outcome = look(token, says(http(b"\x1f\x8b" + b"\0" * 3_000_000)), tmp_path / "trust")
    assert (outcome.state, outcome.code) == (State.FAILED, "answer_invalid")
    assert not (tmp_path / "trust").exists()


def test_trust_in_nobody_is_refused_but_no_vo_is_none(token: Path, tmp_path: Path) -> None:
    empty = says(http(packed({})))
    for name in ("trust", "vomsdir"):
        (tmp_path / name).mkdir()
        look(token, says(http(packed(GOOD))), tmp_path / name)
    refused = look(token, empty, tmp_path / "trust")
    assert (refused.state, refused.code) == (State.FAILED, "answer_invalid")
    assert everything(tmp_path / "trust").keys() == {*GOOD, ".ttscache"}
    assert look(token, empty, tmp_path / "vomsdir", Kind.VOMSDIR).state is State.RENEWED
    assert everything(tmp_path / "vomsdir").keys() == {".ttscache"}


@pytest.mark.parametrize(
    "ledger", [b"", b"garbage", b"[" * 100_000, b"{}", b"null", json.dumps(["../victim"]).encode()]
)
def test_a_ledger_that_is_none_removes_nothing(ledger: bytes, token: Path, tmp_path: Path) -> None:
    (tmp_path / "victim").write_bytes(b"stays")
    directory = tmp_path / "trust"
    look(token, says(http(packed(GOOD))), directory)
    (directory / ".ttscache").write_bytes(ledger)
    assert look(token, says(http(packed({"new.0": b"new"}))), directory).state is State.RENEWED
    assert everything(directory).keys() == {*GOOD, "new.0", ".ttscache"}
    assert (tmp_path / "victim").exists()
