"""`ttscache credential`: what the daemon has issued and keeps."""

from __future__ import annotations

import click

from ttscache.cli import admin_options, options
from ttscache.cli.admin_options import as_json, moment, show_done, show_entries
from ttscache.client import AdminClient
from ttscache.client.answers import ListedCredential


@click.group("credential")
def command() -> None:
    """List the credentials that the daemon keeps, and revoke end-entity certificates."""


@command.command("list")
@admin_options.administering
@admin_options.issuer
@admin_options.subject
@options.output_format
def list_command(client: AdminClient, issuer: str | None, subject: str | None, output_format: str) -> None:
    """List credentials: serial of the end-entity certificate, kind, DN, profile, end, and whether it is revoked.

    Proxies for somebody's own key (a CSR) are not kept; the end-entity certificates above them are.
    """
    show_entries(client.credentials(issuer, subject), output_format, _cells)


@command.command("revoke")
@click.argument("serial", type=click.IntRange(min=0))
@admin_options.administering
@admin_options.reason
@options.output_format
def revoke_command(client: AdminClient, serial: int, reason: str, output_format: str) -> None:
    """Revoke the end-entity certificate SERIAL of `credential list`, and so every proxy below it.

    It is on the CA's CRL until it ends; who asks again is given credentials under another one.
    """
    revoked = client.revoke_credential(serial, reason)
    told = f"revoked: end-entity certificate {revoked.eec_serial} of {revoked.authority}"
    show_done({"revoked": as_json(revoked)}, told, output_format)


def _cells(credential: ListedCredential) -> tuple[str | None, ...]:
    revoked = "revoked" if credential.revoked else None
    serial, ends = str(credential.eec_serial), moment(credential.not_after)
    return serial, credential.kind, credential.dn, credential.profile, ends, revoked
