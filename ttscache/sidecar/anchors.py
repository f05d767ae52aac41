"""Trust directories: the daemon's files over those of a base, such as IGTF's on cvmfs.

Files are copied, not linked: consumers need not see the base, and what it said last stays there when it is away.
"""

from __future__ import annotations

import gzip
import io
import json
import os
import re
import tarfile
import time
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath

from ttscache.sidecar.keeping import UnfitError
from ttscache.sidecar.order import Item, Kind, Outcome, State
from ttscache.sidecar.place import Place
from ttscache.sidecar.visit import Visit

_NAME = re.compile(r"[A-Za-z0-9_@+-][A-Za-z0-9_.@+-]{0,254}\Z")
_MAX_FILES = 2_000
_MAX_FILE_BYTES = 32 * 1024 * 1024
_PLAIN = frozenset({tarfile.REGTYPE, tarfile.AREGTYPE})
_MODE = 0o644
# what was put there by us, and is ours to remove
_LEDGER = PurePosixPath(".ttscache")


def renew(visit: Visit, item: Item) -> Outcome:
    """Bring a directory up to date. Raises ClientError, UnfitError, OSError.

    What the daemon has goes before what the base has; what neither has any more is removed.
    """
    archive = visit.client.trust_anchors() if item.kind is Kind.TRUST else visit.client.vomsdir()
    ours = dict(_unpacked(archive))
    if (item.kind is Kind.TRUST and not ours) or len(ours) > _MAX_FILES or any(name.parent in ours for name in ours):
        raise UnfitError("answer_invalid", "the daemon's archive holds nothing, too much, or files below files")
    base = {name: file for name, file in _base(item).items() if name not in ours}
    names = {str(name) for name in (*ours, *base)}
    known = _ledger(item.path)
    _write_ledger(item.path, known | names)  # first: what is written is known, also if this is its end
    _sweep(item.path, known | names)
    changed = [_put(item.path, name, content) for name, content in ours.items()]
    changed += [_put(item.path, name, _read(file)) for name, file in base.items()]
    for gone in known - names:
        _remove(item.path, PurePosixPath(gone))
    _write_ledger(item.path, names)
    return Outcome(State.RENEWED if any(changed) or known - names else State.KEPT, time.time())


def standing(directory: Path) -> float | None:
    """Return when what is there was put there (POSIX seconds), if it is all there. Raises OSError."""
    if not directory.is_dir():
        return None
    names = _ledger(directory)
    whole = bool(names) and all((directory / name).is_file() for name in names)
    return (directory / _LEDGER).stat().st_mtime if whole else None


def _unpacked(archive: bytes) -> Iterator[tuple[PurePosixPath, bytes]]:
    """Go through the plain files of an archive. Raises UnfitError for anything else in it.

    Header by header, for what tarfile makes of those that extend others is neither bounded in time nor in memory.
    """
    packed = memoryview(_unzipped(archive))
    offset = 0
    while (header := bytes(packed[offset : offset + tarfile.BLOCKSIZE])) != bytes(tarfile.BLOCKSIZE):
        member, begin = _member(header), offset + tarfile.BLOCKSIZE
        content = bytes(packed[begin : begin + member.size])
        name = PurePosixPath(member.name)
        if member.type not in _PLAIN or not 0 <= member.size == len(content) or not _is_plain(name):
            raise UnfitError("answer_invalid", "the daemon's archive holds what is no plain file")
        yield name, content
        offset = begin + -(-member.size // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE


def _unzipped(archive: bytes) -> bytes:
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(archive)) as unzipped:
            packed = unzipped.read(_MAX_FILE_BYTES + 1)
    except (OSError, EOFError, zlib.error):
        raise UnfitError("answer_invalid", "the daemon's answer is no archive") from None
    if len(packed) > _MAX_FILE_BYTES:
        raise UnfitError("answer_invalid", f"the daemon's archive has more than {_MAX_FILE_BYTES} bytes")
    return packed


def _member(header: bytes) -> tarfile.TarInfo:
    try:
        return tarfile.TarInfo.frombuf(header, "utf-8", "strict")
    except (tarfile.HeaderError, ValueError):
        raise UnfitError("answer_invalid", "the daemon's answer is no archive") from None


def _base(item: Item) -> Mapping[PurePosixPath, Path]:
    """Return the files of an item's base. Raises UnfitError for an empty one: so a mount point looks without it."""
    base = {} if item.base is None else dict(_listed(item.base))
    if item.base is not None and not base:
        raise UnfitError("base_empty", f"nothing is in {item.base}; what was there stays")
    return base


def _listed(base: Path) -> Iterator[tuple[PurePosixPath, Path]]:
    """Go through the plain files of a base, and of its directories."""
    for entry in sorted(os.scandir(base), key=lambda each: each.name):
        name = PurePosixPath(entry.name)
        if entry.is_file() and _is_plain(name):
            yield name, Path(entry.path)
        elif entry.is_dir() and _is_plain(name):
            for below in sorted(os.scandir(entry.path), key=lambda each: each.name):
                if below.is_file() and _is_plain(name / below.name):
                    yield name / below.name, Path(below.path)


def _is_plain(name: PurePosixPath) -> bool:
    """Tell whether a name may be written: of a file, or of one in a directory (`vomsdir/VO/HOST.lsc`)."""
    return 1 <= len(name.parts) <= 2 and all(_NAME.match(part) for part in name.parts)  # noqa: PLR2004


def _read(file: Path) -> bytes:
    with file.open("rb") as source:
        content = source.read(_MAX_FILE_BYTES + 1)
    if len(content) > _MAX_FILE_BYTES:
        raise UnfitError("base_invalid", f"{file} has more than {_MAX_FILE_BYTES} bytes")
    return content


def _put(directory: Path, name: PurePosixPath, content: bytes) -> bool:
    """Write a file unless it is there already; tell whether it was written."""
    with _place(directory, name) as place:
        held = place.read(name.name)
        if held is not None and held.content == content:
            return False
        place.write(name.name, content)
        return True


def _sweep(directory: Path, names: set[str]) -> None:
    """Remove what a killed writer has left; its ledger may be among it."""
    below: dict[PurePosixPath, list[str]] = {_LEDGER.parent: [_LEDGER.name]}
    for name in map(PurePosixPath, names):
        below.setdefault(name.parent, []).append(name.name)
    for parent, files in below.items():
        with _place(directory, parent / _LEDGER) as place:
            place.sweep(*files)


def _remove(directory: Path, name: PurePosixPath) -> None:
    with _place(directory, name) as place:
        place.remove(name.name)


def _place(directory: Path, name: PurePosixPath) -> Place:
    return Place(directory / name.parent, _MODE, None, most=_MAX_FILE_BYTES, make=True)


def _ledger(directory: Path) -> set[str]:
    """Return the names that are ours in a directory."""
    with _place(directory, _LEDGER) as place:
        held = place.read(_LEDGER.name)
    try:
        names = json.loads(held.content) if held is not None else []
    except (ValueError, RecursionError):
        names = []
    listed = names if isinstance(names, list) else []
    return {name for name in listed if isinstance(name, str) and _is_plain(PurePosixPath(name))}


def _write_ledger(directory: Path, names: set[str]) -> None:
    _put(directory, _LEDGER, json.dumps(sorted(names)).encode())
