"""`ttscache sandbox`: an IAM, a CA and the daemon on loopback, for trying and testing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from ttscache.cli import options

_DIRECTORY = click.option("--dir", "directory", type=options.DIRECTORY, required=True, help="The sandbox's directory.")


@click.group("sandbox", invoke_without_command=True)
@click.option("--dir", "directory", type=options.DIRECTORY, help="Where everything is written.")
@click.option("--port", type=click.IntRange(0, 65535), default=0, show_default=True, help="The daemon's port.")
@click.option("--iam-port", type=click.IntRange(0, 65535), default=0, show_default=True, help="The IAM's port.")
@click.option("--ready-file", type=options.FILE, help='Written when all answers: {"url": ..., "iam_url": ...}.')
@options.log_level("warning")
@click.pass_context
def command(
    context: click.Context,
    directory: Path | None,
    port: int,
    iam_port: int,
    ready_file: Path | None,
    log_level: str,
) -> None:
    """Run an IAM, a CA and the daemon on loopback, in the foreground.

    Writes under --dir: ttscache.yaml, token (of user jane), env.sh, certificates/, vomsdir/. Other users are joe and
    admin. Port 0 takes a free one.
    """
    if context.invoked_subcommand is not None:
        return
    if directory is None:
        raise click.UsageError("give --dir DIRECTORY", context)
    from ttscache.app.sandbox import run_sandbox  # noqa: PLC0415 - it loads all of the daemon
    from ttscache.cli.serve import run_event_loop  # noqa: PLC0415
    from ttscache.server.logs import configure  # noqa: PLC0415

    configure(log_level)
    run_event_loop(run_sandbox(directory.absolute(), port, iam_port, ready_file, click.echo))


@command.command("token")
@_DIRECTORY
@click.option("--user", "username", default="jane", show_default=True, help="jane, joe or admin.")
@click.option("--scope", help="Scopes, separated by spaces.")
@click.option("--audience", help="The token's audience; default, the sandbox's daemon.")
def token(directory: Path, username: str, scope: str | None, audience: str | None) -> None:
    """Print a fresh token of a user of the running sandbox."""
    from ttscache.sandbox.client import fetch_token  # noqa: PLC0415 - as above

    accounts: dict[str, Any]
    try:
        accounts = json.loads((directory / "iam.json").read_bytes())
    except (OSError, ValueError):
        raise click.UsageError(f"there is no sandbox in {directory}") from None
    if username not in accounts["users"]:
        raise click.UsageError(f"no such user; there are {', '.join(accounts['users'])}")
    click.echo(fetch_token(accounts, username, scope=scope, audience=audience))
