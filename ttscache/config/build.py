"""What the schema cannot say: references, templates, URLs, names, files, and values that contradict each other."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path as FilePath
from typing import Any, TypeVar

from ttscache.config import build_admin, build_authorities, build_issuers, build_profiles, build_server
from ttscache.config.build_mapping import MappingBuilder
from ttscache.config.document import Document, Path
from ttscache.config.notes import Notes
from ttscache.config.settings import (
    AuthoritySettings,
    IssuerConfiguration,
    LocalAuthority,
    LocalVoms,
    ManagedProxyAuthority,
    Profile,
    ProxyProfile,
    RemoteVoms,
    Settings,
)

_Part = TypeVar("_Part")
# what IAM asks for where it hands out a managed proxy
_PROXY_SCOPE = "proxy:generate"
_BRING_DN = ("robot", "iam-proxycert")


class Builder:
    """Builds settings out of a document; what is wrong gathers in ``mistakes``.

    Parts in which the schema found a fault (their paths are in ``broken``) are left out, so that the others are
    checked all the same.
    """

    def __init__(self, document: Document, directory: FilePath, *, broken: tuple[Path, ...]) -> None:
        self._notes = Notes(document, directory)
        self._root: Mapping[str, Any] = document.value
        self._broken = broken

    @property
    def mistakes(self) -> list[str]:
        """What was found wrong, a line each."""
        return self._notes.mistakes

    def settings(self) -> Settings | None:
        """Return the settings, or None when a part could not be built."""
        server = self._attempt(("server",), build_server.server)
        issuers = self._all("issuers", build_issuers.issuer)
        profiles = self._all("profiles", build_profiles.profile)
        voms = self._all("voms", build_authorities.voms)
        authority = self._attempt(("authority",), build_authorities.authority)
        store = self._attempt(("store",), build_server.store)
        mapping = self._mapping(profiles, voms)
        rules = self._all("mapping", mapping.rule)
        limits = self._attempt(("limits",), build_server.limits)
        admin = self._attempt(("admin",), partial(build_admin.admin, mapping=mapping))
        sessions = self._all("sessions", partial(build_issuers.standing_session, exchanging=self._exchanging()))
        self._check_authority(authority, issuers, voms)
        self._require_distinct_voms(profiles, voms)
        self._require_distinct("issuers")
        self._require_distinct("mapping")
        self._require_distinct("sessions")
        if self.mistakes or self._broken:
            return None
        if server is None or authority is None or store is None or limits is None or admin is None:
            return None
        return Settings(
            server=server,
            issuers=tuple(issuers.values()),
            rules=tuple(rules.values()),
            profiles={str(name): profile for name, profile in profiles.items()},
            authority=authority,
            voms={str(name): each for name, each in voms.items()},
            store=store,
            sessions=tuple(sessions.values()),
            admin=admin,
            limits=limits,
        )

    def _all(self, section: str, build: Callable[[Notes, Path, Mapping[str, Any]], _Part]) -> dict[str | int, _Part]:
        """Build each entry of a section, a mapping or a list; those that cannot be built are missing."""
        entries = self._root.get(section)
        keys = entries if isinstance(entries, dict) else range(len(entries)) if isinstance(entries, list) else ()
        built = {key: self._attempt((section, key), build) for key in keys}
        return {key: part for key, part in built.items() if part is not None}

    def _attempt(self, path: Path, build: Callable[[Notes, Path, Mapping[str, Any]], _Part]) -> _Part | None:
        part: Any = self._root
        for key in path:
            if isinstance(key, str) and key not in part:
                return None
            part = part[key]
        if any(_meet(path, broken) for broken in self._broken):
            return None
        return self._notes.noted(path, lambda: build(self._notes, path, part), None)

    def _mapping(
        self, profiles: Mapping[str | int, Profile], voms: Mapping[str | int, LocalVoms | RemoteVoms]
    ) -> MappingBuilder:
        known = self._root.get("voms")
        vos = {}
        for name, profile in profiles.items():
            wanted = profile.voms if isinstance(profile, ProxyProfile) else ()
            for each in wanted:
                if not isinstance(known, dict) or each not in known:
                    self._notes.wrong(("profiles", name, "voms"), f"there is no '{each}' under `voms`")
            vos[str(name)] = frozenset(voms[each].vo for each in wanted if each in voms)
        names = self._root.get("profiles")
        authority = self._root.get("authority")
        kind = authority.get("kind") if isinstance(authority, dict) else None
        return MappingBuilder(
            issuers=self._names("issuers"),
            profiles=list(names) if isinstance(names, dict) else [],
            vos=vos,
            brings_dn=kind if kind in _BRING_DN else None,
            sessions=self._names("sessions"),
        )

    def _check_authority(
        self,
        authority: AuthoritySettings | None,
        issuers: Mapping[str | int, IssuerConfiguration],
        voms: Mapping[str | int, LocalVoms | RemoteVoms],
    ) -> None:
        """Check what the authority needs of the other parts, and they of it."""
        if isinstance(authority, ManagedProxyAuthority):
            for index, issuer in issuers.items():
                if issuer.exchange is None or _PROXY_SCOPE not in issuer.exchange.scopes:
                    message = f"an authority of kind iam-proxycert needs `exchange` with the scope {_PROXY_SCOPE}"
                    self._notes.wrong(("issuers", index), message)
        if authority is None or isinstance(authority, LocalAuthority):
            return
        for name, each in voms.items():
            if isinstance(each, LocalVoms) and each.credential is None:
                self._notes.wrong(("voms", name), "without a local CA it needs `cert` and `key`")

    def _require_distinct_voms(
        self, profiles: Mapping[str | int, Profile], voms: Mapping[str | int, LocalVoms | RemoteVoms]
    ) -> None:
        """Two authorities under one VO and host would share an .lsc file, two of one VO a place in a proxy."""
        seen: set[tuple[str, str]] = set()
        for name, each in voms.items():
            if (each.vo, each.host) in seen:
                self._notes.wrong(("voms", name), f"VO '{each.vo}' has an authority under host '{each.host}' already")
            seen.add((each.vo, each.host))
        for name, profile in profiles.items():
            vos = [
                voms[each].vo for each in (profile.voms if isinstance(profile, ProxyProfile) else ()) if each in voms
            ]
            if len(set(vos)) < len(vos):
                self._notes.wrong(("profiles", name, "voms"), "a proxy carries the attributes of a VO once")

    def _exchanging(self) -> frozenset[str]:
        """Return the names of the issuers that sessions are held with."""
        entries = self._root.get("issuers")
        listed = entries if isinstance(entries, list) else []
        return frozenset(str(each.get("name")) for each in listed if isinstance(each, dict) and "exchange" in each)

    def _names(self, section: str) -> list[str | None]:
        entries = self._root.get(section)
        listed = entries if isinstance(entries, list) else []
        names = (entry.get("name") if isinstance(entry, dict) else None for entry in listed)
        return [name if isinstance(name, str) else None for name in names]

    def _require_distinct(self, section: str) -> None:
        names = self._names(section)
        for index, name in enumerate(names):
            if name is not None and name in names[:index]:
                self._notes.wrong((section, index, "name"), f"the name '{name}' is there already")


def _meet(path: Path, broken: Path) -> bool:
    """Tell whether a part is broken: something in it, or the section that it stands in."""
    shorter = min(len(path), len(broken))
    return shorter > 0 and path[:shorter] == broken[:shorter]
