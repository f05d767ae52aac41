"""`ttscache ca`: the online CA."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding

from proxy_gen.ca import CertificateAuthority
from proxy_gen.errors import NameRefusedError
from proxy_gen.name_rules import require_mintable
from proxy_gen.names import DistinguishedName
from proxy_gen.trust import subject_hash
from ttscache.app.compose import in_process
from ttscache.authority import local
from ttscache.authority.generations import Generations, begins_at
from ttscache.broker.publishing import Published
from ttscache.cli import options
from ttscache.cli.durations import Duration
from ttscache.config.build_mapping import require_quotable
from ttscache.config.load import load
from ttscache.config.settings import LocalAuthority, Settings
from ttscache.durable import write_atomically
from ttscache.net.deadline import Deadline

_PUBLISH_SECONDS = 30.0
_MAX_DELAY = 365 * 86400


@click.group("ca")
def command() -> None:
    """Make, show, rotate and export the online CA of a configuration."""


@command.command("init")
@options.required_configuration
@options.output_format
def init(configuration: Path, output_format: str) -> None:
    """Make the CA. It is an error when there is one already: its EECs would no longer verify."""
    settings = load(configuration)
    wanted = _local(settings)
    generations, made = local.load_or_create(
        wanted.directory, wanted.subject, wanted.key, now=datetime.now(UTC), lifetime=timedelta(seconds=wanted.lifetime)
    )
    if not made:
        raise click.UsageError(f"there is a CA in {wanted.directory} already; `ttscache ca show` shows it")
    _show(_facts(generations.all[0], generations, settings), output_format)


@command.command("show")
@options.required_configuration
@options.output_format
def show(configuration: Path, output_format: str) -> None:
    """Show the CA's name, lifetime and fingerprint, and those of the CAs before and after it."""
    settings = load(configuration)
    generations = _require(settings)
    issuing = generations.issuing(time.time())
    others = [_facts(each, generations, settings) for each in generations.all if each is not issuing]
    facts = _facts(issuing, generations, settings)
    if output_format == "json":
        options.show_json(facts | {"others": others})
        return
    _show(facts, output_format)
    for other in others:
        click.echo()
        _show(other, output_format)


@command.command("rotate")
@options.required_configuration
@click.option("--subject", help="The next CA's DN, in slash form. Default: the name of before with a number, `G2`.")
@click.option(
    "--in",
    "delay",
    type=Duration(),
    default="2d",
    show_default=True,
    help="When it begins to issue: by then consumers must have fetched it from /trust.",
)
@options.output_format
def rotate(configuration: Path, subject: str | None, delay: int, output_format: str) -> None:
    """Make the next CA. It is published when the daemon is reloaded (SIGHUP), and issues after the delay.

    The CA of before stays published until the last certificate that it signed has ended.
    """
    if not 0 <= delay <= _MAX_DELAY:
        raise click.BadParameter("must be between 0 and 365d", param_hint="--in")
    settings = load(configuration)
    wanted = _local(settings)
    name = None if subject is None else _name(subject)
    begins = datetime.now(UTC) + timedelta(seconds=delay)
    made = local.rotate(wanted.directory, name, wanted.key, begins=begins, lifetime=timedelta(seconds=wanted.lifetime))
    _show(_facts(made, _require(settings), settings), output_format)


@command.command("crl")
@options.required_configuration
@click.option("--der", is_flag=True, help="In DER; default, PEM.")
@click.option("-o", "--out", type=options.FILE, help="Output file; default, standard output.")
def crl(configuration: Path, der: bool, out: Path | None) -> None:
    """Write the CRL of the CA that signs now, making a new one when the last is a day old."""
    published, _ = _published(load(configuration))
    if published.crl_der is None:
        raise click.UsageError("the CA above the proxies is not this daemon's; its own site has its CRL")
    content = published.crl_der
    if not der:
        content = x509.load_der_x509_crl(content).public_bytes(Encoding.PEM)
    if out is None:
        click.echo(content, nl=False)
    else:
        write_atomically(out, content, mode=0o644)


@command.command("export")
@options.required_configuration
@click.option("--vomsdir", type=options.DIRECTORY, help="Write the VOMS trust directory (X509_VOMS_DIR) there as well.")
@click.argument("directory", type=options.DIRECTORY)
def export(configuration: Path, vomsdir: Path | None, directory: Path) -> None:
    """Write a trust directory (X509_CERT_DIR) for the CA, with its CRL, into DIRECTORY."""
    settings = load(configuration)
    published, voms_files = _published(settings)
    _write(directory, published.files)
    if vomsdir is not None:
        _write(vomsdir, voms_files)


def _write(directory: Path, files: dict[str, bytes]) -> None:
    for name, content in files.items():
        target = directory / name
        target.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(target, content, mode=0o644)
    click.echo(f"wrote {len(files)} files into {directory}")


def _published(settings: Settings) -> tuple[Published, dict[str, bytes]]:
    """Return what is to be trusted, and the files of the VOMS trust directory."""
    if isinstance(settings.authority, LocalAuthority):
        _require(settings)  # which is not made by asking what is published of it

    async def ask() -> tuple[Published, dict[str, bytes]]:
        async with in_process(settings) as services:
            published = await services.publisher.published(Deadline.after(_PUBLISH_SECONDS))
            return published, services.publisher.voms_files()

    return asyncio.run(ask())


def _local(settings: Settings) -> LocalAuthority:
    if not isinstance(settings.authority, LocalAuthority):
        raise click.UsageError("the authority of this configuration is not a local CA")
    return settings.authority


def _require(settings: Settings) -> Generations:
    directory = _local(settings).directory
    generations = local.load(directory)
    if generations is None:
        raise click.UsageError(f"there is no CA in {directory}; `ttscache ca init` makes it")
    return generations


def _name(text: str) -> DistinguishedName:
    try:
        name = DistinguishedName.parse(text)
        require_mintable(name)
        require_quotable(name.slash)
    except NameRefusedError as error:
        raise click.BadParameter(str(error), param_hint="--subject") from None
    return name


def _facts(authority: CertificateAuthority, generations: Generations, settings: Settings) -> dict[str, Any]:
    certificate = authority.certificate
    now = time.time()
    state = (
        "issuing" if authority is generations.issuing(now) else "to come" if begins_at(authority) > now else "former"
    )
    return {
        "subject": DistinguishedName(certificate.subject).slash,
        "state": state,
        "serial": str(certificate.serial_number),
        "not_before": f"{certificate.not_valid_before_utc:%Y-%m-%dT%H:%M:%SZ}",
        "not_after": f"{certificate.not_valid_after_utc:%Y-%m-%dT%H:%M:%SZ}",
        "sha256": certificate.fingerprint(hashes.SHA256()).hex(":").upper(),
        "hash": subject_hash(certificate.subject),
        "signs": list(settings.signable_subjects),
        "directory": str(_local(settings).directory),
    }


def _show(facts: dict[str, Any], output_format: str) -> None:
    if output_format == "json":
        options.show_json(facts)
        return
    for name, value in facts.items():
        click.echo(f"{name:<10} : {' '.join(value) if isinstance(value, list) else value}")
