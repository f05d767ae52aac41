"""`ttscache mapfile`: the mapping rules as a file that a consumer reads."""

from __future__ import annotations

import asyncio
from pathlib import Path

import click

from ttscache.app.compose import open_store, require_sealing_ring
from ttscache.broker.ownership import known_names
from ttscache.cli import options
from ttscache.cli.exits import EXIT_FAULT
from ttscache.config.load import load
from ttscache.config.settings import IssuerConfiguration, Settings
from ttscache.durable import write_atomically
from ttscache.identity.settings import TokenProfile
from ttscache.mapping.export_check import faults
from ttscache.mapping.export_names import KnownName
from ttscache.mapping.exports import Format, Source, export, needs_known_names

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
    if issuer is not None and form is not Format.XROOTD_SCITOKENS:
        raise click.UsageError("--issuer is for xrootd-scitokens; the other files are about all issuers")
    source = _source(form, settings, issuer)
    exported = export(form, source)
    wrong = faults(form, source, exported)
    for line in wrong or map(str, exported.left_out):
        click.echo(f"ttscache: {options.printable(line)}", err=True)
    if wrong:
        click.echo("ttscache: the file does not say what the rules say, and is not written; please report it", err=True)
        return EXIT_FAULT
    if out is None:
        click.echo(exported.text, nl=False)
    else:
        write_atomically(out, exported.text.encode(), mode=_MODE)
    return 0


def _source(form: Format, settings: Settings, issuer: str | None) -> Source:
    if form is Format.XROOTD_SCITOKENS:
        identity = _issuer(settings, issuer).identity
        return Source(settings.rules, issuer=identity.name, groups_claim=identity.token_profile is TokenProfile.WLCG)
    if not needs_known_names(form, settings.rules):
        return Source(settings.rules)
    path = settings.store.path
    if path is None or not path.exists():
        # it is the daemon that makes its store: one that root made here would lock the daemon out
        where = "is memory" if path is None else f"is not there yet ({path})"
        click.echo(f"ttscache: the store {where}: no name is known to have been given", err=True)
        return Source(settings.rules)
    return Source(settings.rules, known=asyncio.run(_known(settings)))


def _issuer(settings: Settings, name: str | None) -> IssuerConfiguration:
    found = [each for each in settings.issuers if name in {None, each.identity.name}]
    if len(found) != 1:
        names = ", ".join(each.identity.name for each in settings.issuers)
        raise click.UsageError(f"--issuer must name one of the configured issuers: {names}")
    return found[0]


async def _known(settings: Settings) -> list[KnownName]:
    store = open_store(settings)
    try:
        await require_sealing_ring(store)
        return await known_names(store)
    finally:
        await store.close()
