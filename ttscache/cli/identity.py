"""`ttscache identity`: who is refused, whatever token comes."""

from __future__ import annotations

import click

from ttscache.cli import admin_options, options
from ttscache.cli.admin_options import moment, show_done, show_entries
from ttscache.client import AdminClient
from ttscache.client.answers import RevokedIdentity


@click.group("identity")
def command() -> None:
    """Revoke identities, and restore them."""


@command.command("list")
@admin_options.administering
@admin_options.issuer
@admin_options.subject
@options.output_format
def list_command(client: AdminClient, issuer: str | None, subject: str | None, output_format: str) -> None:
    """List the revoked identities: issuer, subject, since when, by whom, why."""
    found = client.revoked_identities()
    wanted = [each for each in found if issuer in {None, each.issuer} and subject in {None, each.subject}]
    show_entries(wanted, output_format, _cells)


@command.command("revoke")
@admin_options.administering
@admin_options.required_issuer
@admin_options.required_subject
@admin_options.reason
@options.output_format
def revoke_command(client: AdminClient, issuer: str, subject: str, reason: str, output_format: str) -> None:
    """Refuse an identity until it is restored; its sessions end, its certificates are revoked."""
    client.revoke_identity(issuer, subject, reason)
    show_done({"revoked": {"issuer": issuer, "subject": subject}}, f"revoked: {subject} of {issuer}", output_format)


@command.command("restore")
@admin_options.administering
@admin_options.required_issuer
@admin_options.required_subject
@admin_options.reason
@options.output_format
def restore_command(client: AdminClient, issuer: str, subject: str, reason: str, output_format: str) -> None:
    """Take an identity's revocation back. What was revoked with it stays revoked: it is given new certificates."""
    client.restore_identity(issuer, subject, reason)
    show_done({"restored": {"issuer": issuer, "subject": subject}}, f"restored: {subject} of {issuer}", output_format)


def _cells(revoked: RevokedIdentity) -> tuple[str | None, ...]:
    return revoked.issuer, revoked.subject, moment(revoked.revoked_at), revoked.by, revoked.reason
