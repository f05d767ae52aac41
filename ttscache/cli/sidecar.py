"""`ttscache sidecar`: keeps credential files fresh next to a consumer."""

from __future__ import annotations

import contextlib
import grp
import pwd
import shlex
import shutil
import signal
import socket
from pathlib import Path

import click

from ttscache.cli import options
from ttscache.cli.durations import Duration
from ttscache.durable import Owner
from ttscache.sidecar.agent import Agent
from ttscache.sidecar.children import Hook
from ttscache.sidecar.health import Health
from ttscache.sidecar.log import log
from ttscache.sidecar.order import Item, Kind, Order
from ttscache.sidecar.telling import PidFile, Telling

# what was given to another owner may be there, and not be ours to read
_KEPT = click.Path(path_type=Path, dir_okay=False, readable=False)
_MAX_PORT = 65535
_MAX_ID = 2**32 - 2


@click.command("sidecar")
@options.url
@options.ca_file
@click.option("--token-file", type=options.FILE, required=True, help="The sidecar's own token; read anew each time.")
@click.option("--proxy", type=_KEPT, help="Keep a proxy in this file; its key never leaves this machine.")
@click.option("--proxy-profile", help="Default: the rule's first for proxies.")
@click.option("--bearer", type=_KEPT, help="Keep an access token in this file.")
@click.option("--bearer-profile", help="Default: the rule's first for access tokens.")
@click.option("--idtoken", type=_KEPT, help="Keep an HTCondor IDTOKEN in this file.")
@click.option("--idtoken-profile", help="Default: the rule's first for IDTOKENs.")
@click.option("--trust", type=options.DIRECTORY, help="Keep a trust directory (X509_CERT_DIR).")
@click.option("--trust-base", type=options.DIRECTORY, help="Merge it over this one, such as IGTF's on cvmfs.")
@click.option("--vomsdir", type=options.DIRECTORY, help="Keep a VOMS trust directory (X509_VOMS_DIR).")
@click.option("--vomsdir-base", type=options.DIRECTORY, help="Merge it over this one.")
@click.option("--mode", type=click.Choice(["0400", "0600"]), default="0600", show_default=True, help="The files' mode.")
@click.option("--owner", help="The files' owner, USER[:GROUP], by name or number; needs the right to give them away.")
@click.option("--min-left", type=Duration(), default=60, help="Less is better than nothing only. Default: 1m.")
@click.option("--on-change", help="Command to run when a file has changed; not by a shell.")
@click.option("--signal", "signal_to", metavar="NAME:PID-FILE", help="Signal to send when a file has changed.")
@click.option("--status", "status_file", type=options.FILE, help="Write how everything is to this file, as JSON.")
@click.option("--health", metavar="[HOST:]PORT", help="Answer probes at /healthz, and Prometheus at /metrics.")
@click.option("--once", is_flag=True, help="Look after everything once and end, as init containers do.")
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
def command(
    url: str | None,
    ca_file: Path | None,
    token_file: Path,
    proxy: Path | None,
    proxy_profile: str | None,
    bearer: Path | None,
    bearer_profile: str | None,
    idtoken: Path | None,
    idtoken_profile: str | None,
    trust: Path | None,
    trust_base: Path | None,
    vomsdir: Path | None,
    vomsdir_base: Path | None,
    mode: str,
    owner: str | None,
    min_left: int,
    on_change: str | None,
    signal_to: str | None,
    status_file: Path | None,
    health: str | None,
    once: bool,
    command: tuple[str, ...],
) -> int:
    """Keep files fresh next to a consumer, until SIGTERM; with -- COMMAND, run that beside and end with it."""
    if url is None:
        raise click.UsageError("give --url (or set TTSCACHE_URL)")
    if once and command:
        raise click.UsageError("--once and a command exclude each other")
    if command and shutil.which(command[0]) is None:
        raise click.UsageError(f"{command[0]} cannot be run: there is no such program")
    if min_left < 0:
        raise click.UsageError("--min-left must not be negative")
    wanted = (
        (Kind.PROXY, proxy, proxy_profile, None),
        (Kind.BEARER, bearer, bearer_profile, None),
        (Kind.IDTOKEN, idtoken, idtoken_profile, None),
        (Kind.TRUST, trust, None, trust_base),
        (Kind.VOMSDIR, vomsdir, None, vomsdir_base),
    )
    order = Order(
        url=url,
        ca_file=ca_file,
        token_file=token_file.absolute(),
        min_left=min_left,
        mode=int(mode, 8),
        owner=None if owner is None else _owner(owner),
        items=_items(wanted),
    )
    telling = Telling(
        hook=None if on_change is None else Hook(_arguments(on_change)),
        pid_file=None if signal_to is None else _pid_file(signal_to),
        status_file=None if status_file is None else status_file.absolute(),
    )
    _require_distinct(order, telling)
    agent = Agent(order, telling, command)
    with contextlib.ExitStack() as stack:
        if health is not None:
            stack.enter_context(_health(health, agent))
        return agent.once() if once else agent.run()


def _items(wanted: tuple[tuple[Kind, Path | None, str | None, Path | None], ...]) -> tuple[Item, ...]:
    for kind, path, profile, base in wanted:
        if path is None and profile is not None:
            raise click.UsageError(f"--{kind.value}-profile needs --{kind.value}")
        if path is None and base is not None:
            raise click.UsageError(f"--{kind.value}-base needs --{kind.value}")
    items = tuple(
        Item(kind, path.absolute(), profile, None if base is None else base.absolute())
        for kind, path, profile, base in wanted
        if path is not None
    )
    if not items:
        raise click.UsageError("nothing to keep: give --proxy, --bearer, --idtoken, --trust or --vomsdir")
    return items


def _require_distinct(order: Order, telling: Telling) -> None:
    """Raise UsageError where one path, however it is written, would be two things."""
    others = (order.ca_file, order.token_file, telling.status_file)
    given = [item.path for item in order.items] + [path for path in others if path is not None]
    real = [path.parent.resolve() / path.name for path in given]
    for path in given:
        if real.count(path.parent.resolve() / path.name) > 1:
            raise click.UsageError(f"two things cannot be at one path: {path}")


def _owner(text: str) -> Owner:
    user, colon, group = text.partition(":")
    try:
        entry = pwd.getpwuid(int(user)) if user.isdecimal() else pwd.getpwnam(user)
        uid, gid = entry.pw_uid, entry.pw_gid
    except KeyError:
        if not user.isdecimal() or not colon:
            raise click.UsageError(f"--owner: there is no user {user}; a number needs its group: UID:GID") from None
        uid, gid = int(user), -1
    if colon:
        try:
            gid = int(group) if group.isdecimal() else grp.getgrnam(group).gr_gid
        except KeyError:
            raise click.UsageError(f"--owner: there is no group {group}") from None
    if max(uid, gid) > _MAX_ID:
        raise click.UsageError(f"--owner: numbers end at {_MAX_ID}")
    return Owner(uid, gid)


def _arguments(text: str) -> list[str]:
    try:
        arguments = shlex.split(text)
    except ValueError as error:
        raise click.UsageError(f"--on-change: {error}") from None
    if not arguments:
        raise click.UsageError("--on-change: names no command")
    return arguments


def _pid_file(text: str) -> PidFile:
    name, _, path = text.partition(":")
    number = getattr(signal.Signals, "SIG" + name.upper().removeprefix("SIG"), None)
    if number is None or not path:
        raise click.UsageError("--signal must be NAME:PID-FILE, such as HUP:/run/xrootd.pid")
    return PidFile(number, Path(path).absolute())


def _health(text: str, agent: Agent) -> Health:
    try:
        health = Health(*_address(text), agent.kept)
    except OSError as error:
        raise click.UsageError(f"--health: {text} cannot be listened on: {error.strerror}") from None
    log("listening", port=health.port)  # which one, when it was to be any
    return health


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not (port.isascii() and port.isdecimal()) or int(port) > _MAX_PORT:
        raise click.UsageError("--health must be [HOST:]PORT")
    return host.removeprefix("[").removesuffix("]") or _everywhere(), int(port)


def _everywhere() -> str:
    """The kubelet's probes come from outside the pod, by whichever protocol its network speaks."""
    return "::" if socket.has_dualstack_ipv6() else "0.0.0.0"  # noqa: S104
