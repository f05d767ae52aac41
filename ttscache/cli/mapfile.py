"""`ttscache mapfile`: the mapping rules as a file that a consumer reads."""

from __future__ import annotations

import asyncio
from pathlib import Path

import click

from ttscache.app.stores import missing_store, open_store, require_usable
from ttscache.broker.mapfiles import ExportFaultError, MapFile, mapfile
from ttscache.cli import options
from ttscache.cli.exits import EXIT_FAULT
from ttscache.config.load import load
from ttscache.config.settings import Settings
from ttscache.durable import write_atomically
from ttscache.errors import RequestInvalidError
from ttscache.mapping.exports import Format, needs_known_names

_FORMATS = {form.value: form for form in Format}
_MODE = 0o644  # consumers run as other users, and nothing in it is secret


@click.command("mapfile")
@click.option(
    "--format",
    "name",
    type=click.Choice(list(_FORMATS)),
    required=True,
    metavar="FORMAT",
    help=f"What to write: {', '.join(_FORMATS)}.",
)
@options.required_configuration
@click.option("--issuer", help="Whose tokens the file is for (xrootd-scitokens, where there are several issuers).")
@click.option("-o", "--out", "out", type=options.FILE, help="Write here, whole or not at all, instead of printing.")
def command(name: str, configuration: Path, issuer: str | None, out: Path | None) -> int:
    """Print the mapping rules as a file of a consumer's.

    What the format cannot say exactly is left out, with a line on standard error. Before anything is printed, the file
    is read back as the consumer reads it, and must give what the rules give.
    """
    form, settings = _FORMATS[name], load(configuration)
    try:
        made = asyncio.run(_made(settings, form, issuer))
    except RequestInvalidError as error:
        raise click.UsageError(error.message.replace("`issuer`", "--issuer")) from None
    except ExportFaultError as error:
        for line in (*error.faults, "the file does not say what the rules say, and is not written; please report it"):
            click.echo(f"ttscache: {options.printable(line)}", err=True)
        return EXIT_FAULT
    for left_out in made.left_out:
        click.echo(f"ttscache: {options.printable(str(left_out))}", err=True)
    if out is None:
        click.echo(made.text, nl=False)
    else:
        write_atomically(out, made.text.encode(), mode=_MODE)
    return 0


async def _made(settings: Settings, form: Format, issuer: str | None) -> MapFile:
    if not needs_known_names(form, settings.rules):
        return await mapfile(settings, None, form, issuer)
    if (missing := missing_store(settings)) is not None:
        click.echo(f"ttscache: {missing}: no name is known to have been given", err=True)
        return await mapfile(settings, None, form, issuer)
    store = open_store(settings)
    try:
        await require_usable(store)
        return await mapfile(settings, store, form, issuer)
    finally:
        await store.close()
