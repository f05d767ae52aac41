"""Whom `ttscache inspect` trusts: the directories that it was given."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import click

from proxy_gen.trust import TrustAnchors, is_trust_file
from proxy_gen.voms.vomsdir import VomsTrust, is_vomsdir_file

# What stands for a file that cannot be read: malformed in each of the forms, so that whoever needs it is refused.
_UNREADABLE = b"\0"


@dataclass(frozen=True)
class Trusted:
    """The CAs and VOMS authorities that are trusted, each None without a directory; ``host`` is who asks."""

    anchors: TrustAnchors | None
    voms: VomsTrust | None
    host: str | None


def anchors(directory: Path, *, require_crls: bool) -> TrustAnchors:
    """Read a trust directory. Raises a usage error when it cannot be listed."""
    files = {file.name: _content(file) for file in _listed(directory) if is_trust_file(file.name)}
    return TrustAnchors.from_files(files, require_crls=require_crls)


def voms_authorities(directory: Path) -> VomsTrust:
    """Read a VOMS trust directory. Raises a usage error when it, or one in it, cannot be listed."""
    of_vos = (file for vo in _listed(directory) if vo.is_dir() for file in _listed(vo))
    files = {str(file.relative_to(directory)): file for file in of_vos}
    return VomsTrust.from_files({name: _content(file) for name, file in files.items() if is_vomsdir_file(name)})


def _listed(directory: Path) -> Iterator[Path]:
    try:
        yield from sorted(directory.iterdir())
    except OSError as error:
        raise click.UsageError(f"the trust directory {directory} cannot be read: {error.strerror}") from None


def _content(file: Path) -> bytes:
    try:
        # a pipe would be waited for
        return file.read_bytes() if file.is_file() else _UNREADABLE
    except OSError:
        return _UNREADABLE
