"""The parts of a configuration that say who gets in without a token of an issuer's: workloads, and old clients."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_network
from typing import Any

from ttscache.config.document import Path
from ttscache.config.known import Known
from ttscache.config.listen import Listen, parse_listen
from ttscache.config.notes import Notes, strings
from ttscache.config.settings import LegacySettings, Network, Profile, ProxyProfile, WorkloadRule
from ttscache.net.urls import is_loopback_host


def workload(notes: Notes, path: Path, part: Mapping[str, Any], *, known: Known) -> WorkloadRule:
    """Build a rule for the pods of a service account."""
    if part["issuer"] not in known.clusters():
        message = f"there is no issuer '{part['issuer']}' of token_profile kubernetes under `issuers`"
        notes.wrong((*path, "issuer"), message)
    _require_session(notes, path, part, known)
    for name in strings(part.get("profiles")):
        if not known.has("profiles", name):
            notes.wrong((*path, "profiles"), f"there is no profile '{name}' under `profiles`")
    return WorkloadRule(
        issuer=part["issuer"],
        namespace=part["namespace"],
        service_account=part["service_account"],
        session=part["session"],
        profiles=strings(part["profiles"]) if "profiles" in part else None,
    )


def legacy(
    notes: Notes,
    path: Path,
    part: Mapping[str, Any],
    *,
    known: Known,
    profiles: Mapping[str | int, Profile],
) -> LegacySettings:
    """Build the listener for old clients. Without TLS a network of one's own must be said to be one."""
    listen = notes.noted((*path, "listen"), lambda: parse_listen(part["listen"]), Listen("localhost", 0, None))
    if listen.unix_path is not None:
        notes.wrong((*path, "listen"), "must be HOST:PORT: clients are told apart by their addresses")
    if not part["plaintext"] and not known.has("server", "tls") and not is_loopback_host(listen.host):
        message = "without `server.tls` private keys would cross the network in the clear; say `plaintext: true` if so"
        notes.wrong(path, message)
    _require_session(notes, path, part, known)
    profile = profiles.get(part["profile"])
    # one with a mistake of its own cannot be told the type of
    if not isinstance(profile, ProxyProfile) and (profile or not known.has("profiles", part["profile"])):
        notes.wrong((*path, "profile"), f"there is no profile '{part['profile']}' of type x509-proxy under `profiles`")
    networks = [_network(notes, (*path, "networks", i), text) for i, text in enumerate(part["networks"])]
    return LegacySettings(
        host=listen.host,
        port=listen.port,
        networks=tuple(network for network in networks if network is not None),
        session=part["session"],
        profile=part["profile"],
        plaintext=part["plaintext"],
    )


def _require_session(notes: Notes, path: Path, part: Mapping[str, Any], known: Known) -> None:
    if part["session"] not in known.names("sessions"):
        notes.wrong((*path, "session"), f"there is no session '{part['session']}' under `sessions`")


def _network(notes: Notes, path: Path, text: str) -> Network | None:
    try:
        network = ip_network(text)
    except ValueError as error:
        notes.wrong(path, f"is no network such as 10.244.0.0/16: {error}")
        return None
    if network.prefixlen == 0:
        notes.wrong(path, "names everybody: whoever reaches the listener would get the site's proxy")
    return network
