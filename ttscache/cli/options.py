"""Options that several commands share."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from ttscache.client import discover_token, read_token_file

_Command = TypeVar("_Command", bound=Callable[..., Any])

FILE = click.Path(path_type=Path, dir_okay=False)
DIRECTORY = click.Path(path_type=Path, file_okay=False)

configuration = click.option(
    "-c",
    "--config",
    "configuration",
    type=FILE,
    help="The daemon's configuration: work in this process, without a daemon.",
)
required_configuration = click.option(
    "-c", "--config", "configuration", type=FILE, required=True, help="The daemon's configuration."
)
url = click.option("--url", envvar="TTSCACHE_URL", show_envvar=True, help="The daemon's URL.")
ca_file = click.option(
    "--ca-file",
    type=FILE,
    envvar="TTSCACHE_CA_FILE",
    show_envvar=True,
    help="CAs to trust for the daemon's certificate.",
)
token_file = click.option(
    "--token-file",
    type=FILE,
    help="The token. Default: WLCG bearer token discovery (BEARER_TOKEN, BEARER_TOKEN_FILE, bt_u$UID).",
)
output_format = click.option(
    "--output",
    "output_format",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="Form of what is shown.",
)


def log_level(default: str) -> Callable[[_Command], _Command]:
    """Return the option of how much is logged."""
    return click.option(
        "--log-level",
        type=click.Choice(["debug", "info", "warning", "error"]),
        default=default,
        show_default=True,
        help="What is logged, as JSON on standard error.",
    )


def require_one_source(url_given: str | None, configuration_given: Path | None) -> None:
    """Raise a usage error unless there is a daemon or a configuration to ask."""
    if url_given is None and configuration_given is None:
        raise click.UsageError("give --url (or set TTSCACHE_URL), or -c FILE to work without a daemon")


def token_from(path: Path | None) -> str:
    """Return the token of a file, or the one that discovery finds. Raises TokenSourceError."""
    return discover_token() if path is None else read_token_file(path)


def printable(text: str) -> str:
    """Return a text from outside as it can go to a terminal: on one line, and without what steers it."""
    return "".join(c if c.isprintable() else " " for c in text)


def show(line: str) -> None:
    """Print a line."""
    click.echo(printable(line))


def show_json(value: Any) -> None:  # noqa: ANN401 - JSON
    """Print JSON."""
    click.echo(json.dumps(value, indent=2))
