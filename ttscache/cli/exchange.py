"""`ttscache exchange`: a token in, a credential out."""

from __future__ import annotations

import os
import resource
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import click

from proxy_gen.credential import Credential
from proxy_gen.csr import make_csr
from proxy_gen.errors import CredentialFileError
from proxy_gen.keys import PrivateKey, generate_key
from ttscache.cli import options
from ttscache.cli.durations import Duration
from ttscache.cli.sources import CredentialSource
from ttscache.client import Client, IssuedToken, Proxy
from ttscache.durable import write_atomically
from ttscache.sidecar.fitting import Facts, Wanted, require_fit, reusable

_PROXY, _ACCESS_TOKEN, _IDTOKEN = "x509-proxy", "access-token", "condor-idtoken"


@click.command("exchange")
@options.url
@options.ca_file
@options.configuration
@options.token_file
@click.option(
    "--as",
    "kind",
    type=click.Choice([_PROXY, _ACCESS_TOKEN, _IDTOKEN]),
    default=_PROXY,
    show_default=True,
    help="The type of the credential.",
)
@click.option("--profile", envvar="TTSCACHE_PROFILE", show_envvar=True, help="Default: the rule's first.")
@click.option("--lifetime", type=Duration(), help="How long it is to live; default, the profile's.")
@click.option("--limited/--full", "limited", default=None, help="Default: as the profile says.")
@click.option("--fqan", "fqans", multiple=True, help="A VOMS FQAN to carry (repeatable).")
@click.option("--audience", "audiences", multiple=True, help="An access token's audience (repeatable).")
@click.option("--scope", "scopes", multiple=True, help="A scope that an access token is to have (repeatable).")
@click.option("--server-key", is_flag=True, help="Let the daemon make the key. Otherwise it never leaves this machine.")
@click.option("--min-left", type=Duration(), help="Keep the file if it fits what is asked and lives longer than this.")
@click.option(
    "-o",
    "--out",
    "out",
    help="Output file, - for standard output. Default: X509_USER_PROXY or /tmp/x509up_u$UID; for tokens, -.",
)
@options.output_format
def command(
    url: str | None,
    ca_file: Path | None,
    configuration: Path | None,
    token_file: Path | None,
    kind: str,
    profile: str | None,
    lifetime: int | None,
    limited: bool | None,
    fqans: tuple[str, ...],
    audiences: tuple[str, ...],
    scopes: tuple[str, ...],
    server_key: bool,
    min_left: int | None,
    out: str | None,
    output_format: str,
) -> None:
    """Exchange a token for an X.509 proxy, an access token for a service, or an HTCondor IDTOKEN."""
    options.require_one_source(url, configuration)
    if kind != _PROXY and (limited is not None or fqans or server_key or min_left is not None):
        raise click.UsageError("--limited, --fqan, --server-key and --min-left are for proxies")
    if kind != _ACCESS_TOKEN and (audiences or scopes):
        raise click.UsageError("--audience and --scope are for access tokens")
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # there will be a key in this memory
    token = options.token_from(token_file)
    source = _source(url, ca_file, configuration)
    if kind == _IDTOKEN:
        _write_token("IDTOKEN", source.idtoken(token, profile=profile, lifetime=lifetime), out, output_format)
        return
    if kind == _ACCESS_TOKEN:
        apart = tuple(" ".join(scopes).split())
        issued = source.access_token(token, profile=profile, lifetime=lifetime, audiences=audiences, scopes=apart)
        _write_token("access token", issued, out, output_format)
        return
    target = _target(out)
    described = None if server_key and min_left is None else source.whoami(token)
    wanted = Wanted.of(described, profile, limited=limited, fqans=fqans) if described is not None else None
    if min_left is not None and target is not None and wanted is not None:
        kept = reusable(target, wanted, timedelta(seconds=min_left))
        if kept is not None:
            _report(_kept_facts(kept), target, output_format, reused=True)
            return
    key = None if server_key or wanted is None else generate_key(wanted.key)
    csr = None if key is None else make_csr(key)
    proxy = source.proxy(token, profile=profile, lifetime=lifetime, limited=limited, fqans=fqans, csr=csr)
    credential = _assembled(proxy, key, wanted)
    if target is None:
        click.echo(credential.to_pem(), nl=False)
        return
    write_atomically(target, credential.to_pem())
    _report(_facts(proxy), target, output_format, reused=False)


def _write_token(what: str, issued: IssuedToken, out: str | None, output_format: str) -> None:
    target = None if out in {None, "-"} else _existing(Path(str(out)))
    if target is None and output_format == "json":
        options.show_json({"token": issued.token, "expires_in": issued.expires_in, "scopes": list(issued.scopes)})
        return
    if target is None:
        click.echo(issued.token)
        return
    write_atomically(target, f"{issued.token}\n".encode())
    not_after = datetime.fromtimestamp(int(time.time()) + issued.expires_in, UTC)
    facts = {"file": str(target), "not_after": f"{not_after:%Y-%m-%dT%H:%M:%SZ}", "scopes": list(issued.scopes)}
    if output_format == "json":
        options.show_json(facts)
        return
    options.show(f"wrote {target}: {what} for {' '.join(issued.scopes)}, valid until {facts['not_after']}")


def _source(url: str | None, ca_file: Path | None, configuration: Path | None) -> CredentialSource:
    if configuration is None:
        return Client(str(url), ca_file)
    from ttscache.cli.in_process import InProcessSource  # noqa: PLC0415 - it loads all of the daemon

    return InProcessSource(configuration)


def _target(out: str | None) -> Path | None:
    """Return the file to write, None for standard output."""
    if out == "-":
        return None
    default = os.environ.get("X509_USER_PROXY") or f"/tmp/x509up_u{os.geteuid()}"  # noqa: S108 - where all look for it
    return _existing(Path(out or default))


def _existing(target: Path) -> Path:
    """Return a file to write whose directory is there."""
    if not target.parent.is_dir():
        raise click.UsageError(f"the directory {target.parent} does not exist")
    return target


def _assembled(proxy: Proxy, key: PrivateKey | None, wanted: Wanted | None) -> Credential:
    """Put our key to the answer's chain. Raises ProxyGenError unless it is a valid proxy for it, as wanted."""
    credential = Credential.parse(proxy.pem)
    if key is not None:
        credential = Credential(credential.chain, key)
    if credential.key is None:
        raise CredentialFileError("key_missing", "the daemon's answer holds no private key")
    if credential.leaf.not_valid_after_utc <= datetime.now(UTC):
        raise CredentialFileError("expired", "the daemon's answer has expired already; is a clock wrong?")
    if wanted is not None:
        require_fit(credential, wanted, datetime.now(UTC))
    return credential


def _kept_facts(facts: Facts) -> dict[str, object]:
    return {
        "subject": facts.subject,
        "identity": facts.identity,
        "issuer": facts.issuer,
        "not_after": f"{facts.not_after:%Y-%m-%dT%H:%M:%SZ}",
    }


def _facts(proxy: Proxy) -> dict[str, object]:
    return {
        "subject": proxy.subject,
        "identity": proxy.identity,
        "account": proxy.account,
        "issuer": proxy.issuer,
        "not_after": f"{proxy.not_after:%Y-%m-%dT%H:%M:%SZ}",
        "profile": proxy.profile,
        "shortened_by": list(proxy.shortened_by),
    }


def _report(facts: dict[str, object], target: Path, output_format: str, *, reused: bool) -> None:
    if output_format == "json":
        options.show_json({"file": str(target), "reused": reused, **facts})
        return
    options.show(f"{'kept' if reused else 'wrote'} {target}: {facts['identity']}, valid until {facts['not_after']}")
    shortened = facts.get("shortened_by")
    if isinstance(shortened, list) and shortened:
        options.show(f"its lifetime was shortened by: {', '.join(shortened)}")
