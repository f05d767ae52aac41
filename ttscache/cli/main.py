"""The entry point: which module a command is in, and which exit status an error has."""

from __future__ import annotations

import importlib
import logging
import sys
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import click

from k8s_manifests.errors import SiteError, SiteFileError
from proxy_gen.errors import ProxyGenError
from ttscache.cli import options
from ttscache.cli.exits import EXIT_FAULT, EXIT_INVALID, EXIT_REFUSED, EXIT_UNAVAILABLE, EXIT_USAGE
from ttscache.client import ClientError, TokenSourceError
from ttscache.errors import ConfigurationError, TtsError, UnavailableError

_EXIT_INTERRUPTED = 130

_COMMANDS = {
    "serve": "ttscache.cli.serve",
    "config": "ttscache.cli.config",
    "exchange": "ttscache.cli.exchange",
    "sidecar": "ttscache.cli.sidecar",
    "inspect": "ttscache.cli.inspect",
    "explain": "ttscache.cli.explain",
    "mapfile": "ttscache.cli.mapfile",
    "ca": "ttscache.cli.ca",
    "store": "ttscache.cli.store",
    "session": "ttscache.cli.session",
    "credential": "ttscache.cli.credential",
    "identity": "ttscache.cli.identity",
    "site": "ttscache.cli.site",
    "sandbox": "ttscache.cli.sandbox",
}


class _LazyGroup(click.Group):
    """Loads a command's module when it is asked for: `exchange` should not wait for an HTTP server's imports."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - as above
        if cmd_name not in _COMMANDS:
            return None
        command: click.Command = importlib.import_module(_COMMANDS[cmd_name]).command
        return command


@click.group(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="ttscache", message="%(prog)s %(version)s")
def cli() -> None:
    """Turn IAM tokens into the credentials that grid services take.

    Exit status: 0 done; 1 a fault of ours; 2 usage or configuration; 3 refused; 4 unavailable, try again; 5 a
    credential is invalid or expired.
    """


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit. Every error is one line on standard error."""
    if not sys.warnoptions:  # what libraries think of certificates from elsewhere is not for our users
        warnings.simplefilter("ignore")
    sys.exit(run(arguments))


def run(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit status."""
    # without a handler, Python prints warnings' texts between our lines; `serve` sets its own
    logging.getLogger().addHandler(logging.NullHandler())
    try:
        given = None if arguments is None else list(arguments)
        status = cli.main(args=given, prog_name="ttscache", standalone_mode=False)
    except (click.Abort, KeyboardInterrupt):
        return _EXIT_INTERRUPTED
    except Exception as error:  # noqa: BLE001 - a line whatever it is, never a traceback with what it may hold
        status, lines = _told(error)
        for line in lines:
            click.echo(f"ttscache: {options.printable(line)}", err=True)
    return status if isinstance(status, int) else 0


def _told(error: Exception) -> tuple[int, tuple[str, ...]]:
    """Return the exit status of an error, and the lines that tell it."""
    for kind, tell in _TOLD.items():
        if isinstance(error, kind):
            return tell(error)
    return EXIT_FAULT, (f"internal error: {type(error).__name__} in {_place(error)}; please report it",)


def _usage(error: click.ClickException) -> tuple[int, tuple[str, ...]]:
    context = getattr(error, "ctx", None)
    hint = "" if context is None else f" (see: {context.command_path} --help)"
    return EXIT_USAGE, (error.format_message().partition("\n")[0] + hint,)


def _service(error: TtsError) -> tuple[int, tuple[str, ...]]:
    status = EXIT_UNAVAILABLE if isinstance(error, UnavailableError) else EXIT_REFUSED
    return status, (f"{error.code}: {error.message}",)


def _system(error: OSError) -> tuple[int, tuple[str, ...]]:
    """A full disk, a directory that is not there: what cannot be written is said, with the file."""
    return EXIT_FAULT, (f"{error.filename or 'output'}: {error.strerror or type(error).__name__}",)


def _place(error: Exception) -> str:
    traceback = error.__traceback__
    while traceback is not None and traceback.tb_next is not None:
        traceback = traceback.tb_next
    return "?" if traceback is None else f"{traceback.tb_frame.f_code.co_name}:{traceback.tb_lineno}"


_TOLD: dict[type[Exception], Callable[[Any], tuple[int, tuple[str, ...]]]] = {
    click.ClickException: _usage,
    ConfigurationError: lambda error: (EXIT_USAGE, error.mistakes),
    TokenSourceError: lambda error: (EXIT_USAGE, (str(error),)),
    SiteFileError: lambda error: (EXIT_USAGE, error.mistakes),
    SiteError: lambda error: (error.exit_status, (f"{error.code}: {error}",)),
    ClientError: lambda error: (error.exit_status, (f"{error.code}: {error}",)),
    TtsError: _service,
    ProxyGenError: lambda error: (EXIT_INVALID, (f"{error.code}: {error}",)),
    OSError: _system,
}
