"""`ttscache config`: check, schema, show."""

from __future__ import annotations

from pathlib import Path

import click
import yaml

from ttscache.cli.options import FILE, show_json
from ttscache.config.load import effective, load
from ttscache.config.schema import schema


@click.group("config")
def command() -> None:
    """Check and show configurations."""


@command.command("check")
@click.argument("file", type=FILE)
def check(file: Path) -> None:
    """Report every mistake in FILE with its line and how to mend it."""
    settings = load(file)
    click.echo(
        f"{file}: good: {len(settings.issuers)} issuer(s), {len(settings.rules)} mapping rule(s), "
        f"{len(settings.profiles)} profile(s)"
    )


@command.command("schema")
def show_schema() -> None:
    """Print the JSON Schema of the configuration."""
    show_json(schema())


@command.command("show")
@click.argument("file", type=FILE)
@click.option("--output", "output_format", type=click.Choice(["yaml", "json"]), default="yaml", show_default=True)
def show(file: Path, output_format: str) -> None:
    """Print the effective configuration of FILE, defaults filled in; secrets stay references."""
    value = effective(file)
    if output_format == "json":
        show_json(value)
    else:
        click.echo(yaml.safe_dump(value, sort_keys=False, allow_unicode=False), nl=False)
