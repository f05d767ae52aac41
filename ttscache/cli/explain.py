"""`ttscache explain`: which mapping rule an identity matches, and why not the others."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import click

from ttscache.cli import options
from ttscache.cli.exits import EXIT_REFUSED
from ttscache.client import Client

_MAX_CLAIMS_BYTES = 64 * 1024


@click.command("explain")
@options.url
@options.ca_file
@options.configuration
@options.token_file
@click.option("--claims", "claims_file", type=options.FILE, help="JSON claims instead of a token; needs -c.")
@options.output_format
def command(
    url: str | None,
    ca_file: Path | None,
    configuration: Path | None,
    token_file: Path | None,
    claims_file: Path | None,
    output_format: str,
) -> int:
    """Show which mapping rule a token or claims match, which they miss and why, and what they get.

    Exit status 3 when the mapping refuses.
    """
    options.require_one_source(url, configuration)
    if claims_file is not None:
        if configuration is None:
            raise click.UsageError("--claims needs -c FILE: a daemon decides on tokens only")
        answer = _explain_claims(claims_file, configuration)
    elif configuration is not None:
        from ttscache.cli.in_process import InProcessSource  # noqa: PLC0415 - it loads all of the daemon

        answer = InProcessSource(configuration).whoami(options.token_from(token_file))
    else:
        answer = Client(str(url), ca_file).whoami(options.token_from(token_file))
    if output_format == "json":
        options.show_json(answer)
    else:
        _show(answer)
    return 0 if answer["refused"] is None else EXIT_REFUSED


def _explain_claims(claims_file: Path, configuration: Path) -> dict[str, Any]:
    """Decide on claims that nobody signed: for trying rules, so nothing is verified or issued."""
    from ttscache.config.load import load  # noqa: PLC0415 - as above
    from ttscache.errors import TracedRefusalError  # noqa: PLC0415
    from ttscache.identity.verifier import identity_of  # noqa: PLC0415
    from ttscache.mapping.engine import decide  # noqa: PLC0415
    from ttscache.server.credentials import decision_json, trace_json  # noqa: PLC0415

    settings = load(configuration)
    claims = _read_claims(claims_file)
    issuer = next((c.identity for c in settings.issuers if c.identity.token_issuer == claims.get("iss")), None)
    if issuer is None:
        known = ", ".join(c.identity.token_issuer for c in settings.issuers)
        raise click.UsageError(f"the claims' `iss` must be one of the configured issuers: {known}")
    digest = hashlib.sha256(json.dumps(claims).encode()).hexdigest()
    identity = identity_of(digest, {"exp": 0, **claims}, issuer)
    answer: dict[str, Any] = {"issuer": identity.issuer, "subject": identity.subject, "groups": identity.groups}
    try:
        decision = decide(settings.rules, identity)
    except TracedRefusalError as refusal:
        refused = {"code": refusal.code, "detail": refusal.message}
        return answer | {"decision": None, "refused": refused, "trace": trace_json(refusal.trace)}
    return answer | {"decision": decision_json(decision), "refused": None, "trace": trace_json(decision.trace)}


def _read_claims(path: Path) -> dict[str, Any]:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise click.UsageError(f"{path} cannot be read: {error.strerror}") from None
    try:
        claims = json.loads(content) if len(content) <= _MAX_CLAIMS_BYTES else None
    except (ValueError, RecursionError):
        claims = None
    if not isinstance(claims, dict):
        raise click.UsageError(f"{path} is not a JSON object of at most {_MAX_CLAIMS_BYTES} bytes")
    return claims


def _show(answer: dict[str, Any]) -> None:
    options.show(f"identity : {answer['subject']} of issuer {answer['issuer']}")
    options.show(f"groups   : {' '.join(answer['groups']) or '-'}")
    for entry in answer["trace"]:
        mark = "+" if entry["matched"] else "-"
        options.show(f"  {mark} rule {entry['rule']}: {entry['why']}")
    decision = answer["decision"]
    if decision is None:
        options.show(f"refused  : {answer['refused']['code']}: {answer['refused']['detail']}")
        return
    options.show(f"dn       : {decision['dn'] or 'brought along by the authority'}")
    options.show(f"account  : {decision['account'] or '-'}")
    options.show(f"fqans    : {' '.join(decision['fqans']) or '-'}")
    options.show(f"scopes   : {' '.join(decision['scopes']) or '-'}")
    options.show(f"profiles : {' '.join(decision['profiles'])}")
