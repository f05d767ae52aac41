"""`ttscache store`: the records of the configured store, moved to another and sealed anew."""

from __future__ import annotations

import asyncio
import itertools
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path

import click

from ttscache.app.stores import missing_store
from ttscache.app.transfer import check_export, export_records, import_records, reseal
from ttscache.cli import options
from ttscache.cli.exits import EXIT_FAULT
from ttscache.config.load import load
from ttscache.config.settings import Settings
from ttscache.durable import replacing

_QUIET_SECONDS = 1.0
_STEPS_A_LOOK = 10
_STDOUT = "-"


@click.group("store")
def command() -> None:
    """Move the records of a store to another, and seal them with another key.

    Run it as the daemon's user, whose files these are.
    """


@command.command("export")
@options.required_configuration
@click.option(
    "-o",
    "--out",
    type=click.Path(path_type=Path, dir_okay=False, allow_dash=True),
    default=_STDOUT,
    help="Write here, whole or not at all, with mode 0600. Default: standard output.",
)
@options.output_format
def export_command(configuration: Path, out: Path, output_format: str) -> None:
    """Write every record of the store as JSON lines, sealed as it is: nothing is opened.

    A daemon may run meanwhile. It is not a snapshot then: of what is written meanwhile some is there and some not. To
    move to another store, stop the daemons first: a refresh token that is used once more is worth nothing in the file.
    """
    settings = _configured(configuration)
    if str(out) == _STDOUT:
        with _progress("exporting") as step:
            asyncio.run(export_records(settings, sys.stdout.buffer.write, step))
        sys.stdout.buffer.flush()
        return
    if out.exists() and not out.is_file():
        raise click.BadParameter("is no regular file, and is not replaced", param_hint="--out")
    with _progress("exporting") as step, replacing(out) as write:
        count = asyncio.run(export_records(settings, write, step))
    _tell({"exported": count, "file": str(out)}, f"{count} exported to {out}", output_format)


@command.command("import")
@options.required_configuration
@click.argument("file", metavar="IN", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@options.output_format
def import_command(configuration: Path, file: Path, output_format: str) -> None:
    """Write the records of IN, a file of `store export`, into the store.

    The whole file is checked first, and every value must open with `sealing_keys`; nothing is written when anything is
    wrong. What is in the store already is kept, so that it can be run again after it was broken off. An SQLite file
    that is not there is made. No daemon may use the store that IN is of any more: a refresh token is good in one place.
    """
    settings = load(configuration)
    if settings.store.path is None:
        _require_store(settings)
    if not file.is_file():
        raise click.BadParameter("is no regular file; it is read twice", param_hint="IN")
    with file.open("rb") as source:
        with _progress("checking") as step:
            total = check_export(source, settings.store.sealing_keys, step)
        with _progress("importing", total) as step:
            done = asyncio.run(import_records(settings, source, step))
    _tell(asdict(done), f"{done.imported} imported, {done.kept} kept, {done.expired} expired", output_format)


@command.command("reseal")
@options.required_configuration
@options.output_format
def reseal_command(configuration: Path, output_format: str) -> int:
    """Seal every record that is not sealed with the first of `sealing_keys` anew with it.

    Daemons go on meanwhile; all of them must have been started with these keys. Behind it the other keys are needed no
    more, unless records could not be opened: then the exit status is 1.
    """
    settings = _configured(configuration)
    with _progress("sealing") as step:
        done = asyncio.run(reseal(settings, step))
    already = f"{done.current} sealed with the first key already"
    _tell(asdict(done), f"{done.resealed} resealed, {already}, {done.unreadable} could not be opened", output_format)
    return EXIT_FAULT if done.unreadable else 0


def _configured(configuration: Path) -> Settings:
    settings = load(configuration)
    _require_store(settings)
    return settings


def _require_store(settings: Settings) -> None:
    if (missing := missing_store(settings)) is not None:
        raise click.UsageError(missing)


def _tell(facts: dict[str, object], text: str, output_format: str) -> None:
    if output_format == "json":
        options.show_json(facts)
    else:
        options.show(text)


@contextmanager
def _progress(label: str, total: int | None = None) -> Iterator[Callable[[], None]]:
    """Give what is to be called for each record. After a second it shows a bar on a terminal, a line elsewhere."""
    begun, done = time.monotonic(), 0
    update: Callable[[int], None] | None = None

    def step() -> None:
        nonlocal done, update
        done += 1
        if update is not None:
            update(1)
        elif time.monotonic() - begun > _QUIET_SECONDS:
            # without a length, where nobody knows how many there are
            bar = click.progressbar(
                itertools.count(), total, label, show_pos=True, update_min_steps=_STEPS_A_LOOK, file=sys.stderr
            )
            update = stack.enter_context(bar).update
            update(done)

    with ExitStack() as stack:
        yield step
