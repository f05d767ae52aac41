"""Where a bearer token is found: WLCG Bearer Token Discovery."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

_MAX_TOKEN_BYTES = 64 * 1024


class TokenSourceError(Exception):
    """No token can be had; the message says what was tried."""


def discover_token(environment: Mapping[str, str] = os.environ) -> str:
    """Return the token of the first place that has one, in the order of WLCG Bearer Token Discovery.

    ``BEARER_TOKEN``; the file ``BEARER_TOKEN_FILE``; ``$XDG_RUNTIME_DIR/bt_u$UID``; ``/tmp/bt_u$UID``. A place that
    is named and cannot be read ends the search. Raises :class:`TokenSourceError`.
    """
    token = environment.get("BEARER_TOKEN", "").strip()
    if token:
        return token
    named = environment.get("BEARER_TOKEN_FILE")
    if named:
        return read_token_file(Path(named))
    for path in _default_files(environment):
        if path.exists():
            return read_token_file(path, ours_only=True)
    raise TokenSourceError(
        "no bearer token: give --token-file, or set BEARER_TOKEN or BEARER_TOKEN_FILE, "
        f"or put one into /tmp/bt_u{os.geteuid()}"
    )


def read_token_file(path: Path, *, ours_only: bool = False) -> str:
    """Return the token in a file. Raises :class:`TokenSourceError` when it cannot be read, is empty or too large.

    ``ours_only`` refuses a file of another user's: in a directory that all may write to, anyone can leave one.
    """
    try:
        with path.open("rb") as file:
            if ours_only and os.fstat(file.fileno()).st_uid not in {os.geteuid(), 0}:
                raise TokenSourceError(f"the token file {path} belongs to another user")
            content = file.read(_MAX_TOKEN_BYTES + 1)
    except OSError as error:
        raise TokenSourceError(f"the token file {path} cannot be read: {error.strerror}") from None
    if len(content) > _MAX_TOKEN_BYTES:
        raise TokenSourceError(f"the token file {path} has more than {_MAX_TOKEN_BYTES} bytes")
    token = content.decode(errors="replace").strip()
    if not token:
        raise TokenSourceError(f"the token file {path} is empty")
    return token


def _default_files(environment: Mapping[str, str]) -> Iterator[Path]:
    name = f"bt_u{os.geteuid()}"
    runtime = environment.get("XDG_RUNTIME_DIR")
    if runtime:
        yield Path(runtime) / name
    yield Path("/tmp") / name  # noqa: S108 - the place that the specification names
