"""`ttscache ca`: the online CA."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click
from cryptography.hazmat.primitives import hashes

from proxy_gen.ca import CertificateAuthority
from proxy_gen.names import DistinguishedName
from proxy_gen.trust import subject_hash
from ttscache.app.compose import in_process
from ttscache.authority import local
from ttscache.cli import options
from ttscache.config.load import load
from ttscache.config.settings import Settings
from ttscache.durable import write_atomically


@click.group("ca")
def command() -> None:
    """Make, show and export the online CA of a configuration."""


@command.command("init")
@options.required_configuration
@options.output_format
def init(configuration: Path, output_format: str) -> None:
    """Make the CA. It is an error when there is one already: its EECs would no longer verify."""
    settings = load(configuration)
    wanted = settings.authority
    authority, made = local.load_or_create(
        wanted.directory, wanted.subject, wanted.key, now=datetime.now(UTC), lifetime=timedelta(seconds=wanted.lifetime)
    )
    if not made:
        raise click.UsageError(f"there is a CA in {wanted.directory} already; `ttscache ca show` shows it")
    _show(_facts(authority, settings), output_format)


@command.command("show")
@options.required_configuration
@options.output_format
def show(configuration: Path, output_format: str) -> None:
    """Show the CA's name, lifetime and fingerprint."""
    settings = load(configuration)
    _show(_facts(_require(settings), settings), output_format)


@command.command("export")
@options.required_configuration
@click.argument("directory", type=options.DIRECTORY)
def export(configuration: Path, directory: Path) -> None:
    """Write a trust directory (X509_CERT_DIR) for the CA, with its CRL, into DIRECTORY."""
    settings = load(configuration)
    _require(settings)

    async def files() -> dict[str, bytes]:
        async with in_process(settings) as services:
            return (await services.publisher.published()).files

    contents = asyncio.run(files())
    directory.mkdir(parents=True, exist_ok=True)
    for name, content in contents.items():
        write_atomically(directory / name, content, mode=0o644)
    click.echo(f"wrote {len(contents)} files into {directory}")


def _require(settings: Settings) -> CertificateAuthority:
    authority = local.load(settings.authority.directory)
    if authority is None:
        raise click.UsageError(f"there is no CA in {settings.authority.directory}; `ttscache ca init` makes it")
    return authority


def _facts(authority: CertificateAuthority, settings: Settings) -> dict[str, Any]:
    certificate = authority.certificate
    return {
        "subject": DistinguishedName(certificate.subject).slash,
        "serial": str(certificate.serial_number),
        "not_before": f"{certificate.not_valid_before_utc:%Y-%m-%dT%H:%M:%SZ}",
        "not_after": f"{certificate.not_valid_after_utc:%Y-%m-%dT%H:%M:%SZ}",
        "sha256": certificate.fingerprint(hashes.SHA256()).hex(":").upper(),
        "hash": subject_hash(certificate.subject),
        "signs": list(settings.signable_subjects),
        "directory": str(settings.authority.directory),
    }


def _show(facts: dict[str, Any], output_format: str) -> None:
    if output_format == "json":
        options.show_json(facts)
        return
    for name, value in facts.items():
        click.echo(f"{name:<10} : {' '.join(value) if isinstance(value, list) else value}")
