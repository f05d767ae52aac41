"""What the administrators' commands share: where the daemon is, who asks, and how lists are shown."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict
from datetime import datetime
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
from click.core import ParameterSource

from ttscache.cli import options
from ttscache.client import AdminClient, ClientCertificate

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

_Entry = TypeVar("_Entry", bound="DataclassInstance")

_CONNECTION = (
    options.url,
    options.ca_file,
    options.token_file,
    click.option("--cert", "certificate", type=options.FILE, help="Your client certificate, in PEM, with its chain."),
    click.option("--key", type=options.FILE, help="Its key. Default: in the certificate's file."),
    click.option(
        "--socket",
        type=click.Path(path_type=Path, dir_okay=False, readable=False),
        envvar="TTSCACHE_ADMIN_SOCKET",
        show_envvar=True,
        help="The daemon's `admin.socket`, instead of a URL; without a token.",
    ),
)

reason = click.option("--reason", default="", help="Why, for the daemon's log: at most 200 characters.")
issuer = click.option("--issuer", help="Only this issuer's: its name in the daemon's configuration.")
subject = click.option("--subject", help="Only this subject's: the `sub` of its tokens.")
required_issuer = click.option(
    "--issuer", required=True, help="The identity's issuer: its name in the daemon's configuration."
)
required_subject = click.option("--subject", required=True, help="The identity's `sub`, as its tokens have it.")


def administering(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that say where the daemon is and who asks; the command gets an AdminClient for its first."""

    @wraps(command)
    def connected(
        url: str | None,
        ca_file: Path | None,
        token_file: Path | None,
        certificate: Path | None,
        key: Path | None,
        socket: Path | None,
        **others: Any,  # noqa: ANN401 - click's
    ) -> Any:  # noqa: ANN401 - the command's
        shown = _certificate(certificate, key)
        if socket is not None and not _is_beaten("socket", by="url"):
            client = _at_socket(socket, token_file, shown)
        else:
            client = _at_url(url, ca_file, token_file, shown)
        return command(client, **others)

    for option in reversed(_CONNECTION):
        connected = option(connected)
    return connected


def show_entries(
    entries: Iterable[_Entry], output_format: str, cells: Callable[[_Entry], tuple[str | None, ...]]
) -> None:
    """Print a line of cells for each entry, as they come; or all of them in JSON."""
    if output_format == "json":
        options.show_json({"entries": [as_json(each) for each in entries]})
        return
    for each in entries:
        options.show("  ".join(cell or "-" for cell in cells(each)))


def show_done(done: dict[str, object], text: str, output_format: str) -> None:
    """Print what has been done."""
    if output_format == "json":
        options.show_json(done)
    else:
        options.show(text)


def as_json(entry: DataclassInstance) -> dict[str, Any]:
    """Return an entry in the form that the daemon gave it."""
    return {name: _plain(value) for name, value in asdict(entry).items()}


def moment(when: datetime) -> str:
    """Return a time as it is shown everywhere."""
    return f"{when:%Y-%m-%dT%H:%M:%SZ}"


def _plain(value: Any) -> Any:  # noqa: ANN401 - JSON
    if isinstance(value, datetime):
        return moment(value)
    # a serial, which is longer than the numbers of many who read JSON
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _certificate(file: Path | None, key: Path | None) -> ClientCertificate | None:
    if file is None and key is not None:
        raise click.UsageError("--key belongs to a --cert")
    return None if file is None else ClientCertificate(file, key)


def _is_beaten(option: str, *, by: str) -> bool:
    """Tell whether an option is in the environment only, and the other was given. Both given is a mistake."""
    context = click.get_current_context()
    given = [name for name in (option, by) if context.get_parameter_source(name) is ParameterSource.COMMANDLINE]
    if given == [option, by]:
        raise click.UsageError(f"give --{by} or --{option}, not both")
    return given == [by]


def _at_socket(path: Path, token_file: Path | None, shown: ClientCertificate | None) -> AdminClient:
    if token_file is not None or shown is not None:
        raise click.UsageError("--token-file and --cert are for a --url: at the socket the daemon sees who you are")
    return AdminClient.over_socket(path)


def _at_url(
    url: str | None, ca_file: Path | None, token_file: Path | None, shown: ClientCertificate | None
) -> AdminClient:
    """Who shows a certificate needs no token, and is not asked for one."""
    if url is None:
        raise click.UsageError("give --url (or set TTSCACHE_URL), or --socket (or TTSCACHE_ADMIN_SOCKET)")
    token = options.token_from(token_file) if token_file is not None or shown is None else None
    return AdminClient.over_network(url, ca_file, token=token, certificate=shown)
