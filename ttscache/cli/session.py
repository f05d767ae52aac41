"""`ttscache session`: the daemon's sessions with its issuers."""

from __future__ import annotations

import click

from ttscache.cli import admin_options, options
from ttscache.cli.admin_options import as_json, moment, show_done, show_entries
from ttscache.client import AdminClient
from ttscache.client.answers import ListedSession


@click.group("session")
def command() -> None:
    """List and revoke the daemon's sessions, and open standing ones."""


@command.command("list")
@admin_options.administering
@admin_options.issuer
@admin_options.subject
@options.output_format
def list_command(client: AdminClient, issuer: str | None, subject: str | None, output_format: str) -> None:
    """List sessions: id, state, issuer, subject or standing name, end.

    What has ended is listed for a day.
    """
    show_entries(client.sessions(issuer, subject), output_format, _cells)


@command.command("revoke")
@click.argument("session_id", metavar="ID")
@admin_options.administering
@admin_options.reason
@options.output_format
def revoke_command(client: AdminClient, session_id: str, reason: str, output_format: str) -> None:
    """End the session ID of `session list`, and refuse the tokens that were issued before now.

    A new token opens another session. A standing session stays closed until `session open`.
    """
    owner = client.revoke_session(session_id, reason)
    whose = f"{owner.subject} of {owner.issuer}" if owner.session is None else f"standing session {owner.session}"
    show_done({"revoked": as_json(owner)}, f"revoked: the session of {whose}", output_format)


@command.command("open")
@click.argument("name", metavar="NAME")
@admin_options.administering
@admin_options.reason
@options.output_format
def open_command(client: AdminClient, name: str, reason: str, output_format: str) -> None:
    """Open the standing session NAME of the daemon's configuration, also one that was revoked."""
    owner = client.open_session(name, reason)
    told = f"opened: standing session {name}, for {owner.subject} of {owner.issuer}"
    show_done({"opened": as_json(owner)}, told, output_format)


def _cells(session: ListedSession) -> tuple[str | None, ...]:
    who = session.subject if session.session is None else f"{session.session} (standing)"
    return session.id, session.state, session.issuer, who, moment(session.ends_at)
