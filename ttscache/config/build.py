"""What the schema cannot say: references, templates, URLs, names, files, and values that contradict each other."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path as FilePath
from typing import Any, TypeVar

from ttscache.config import (
    build_admin,
    build_authorities,
    build_delivery,
    build_issuers,
    build_profiles,
    build_server,
    consistency,
)
from ttscache.config.build_mapping import MappingBuilder
from ttscache.config.document import Document, Path
from ttscache.config.known import Known
from ttscache.config.notes import Notes
from ttscache.config.settings import LocalVoms, Profile, ProxyProfile, RemoteVoms, Settings

_Part = TypeVar("_Part")
_BRING_DN = ("robot", "iam-proxycert")


class Builder:
    """Builds settings out of a document; what is wrong gathers in ``mistakes``.

    Parts in which the schema found a fault (their paths are in ``broken``) are left out, so that the others are
    checked all the same.
    """

    def __init__(self, document: Document, directory: FilePath, *, broken: tuple[Path, ...]) -> None:
        self._notes = Notes(document, directory)
        self._root: Mapping[str, Any] = document.value
        self._known = Known(self._root)
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
        sessions = self._all("sessions", partial(build_issuers.standing_session, exchanging=self._known.exchanging()))
        workloads = self._all("workloads", partial(build_delivery.workload, known=self._known))
        legacy = self._attempt(("legacy",), partial(build_delivery.legacy, known=self._known, profiles=profiles))
        consistency.check_authority(self._notes, authority, issuers, voms)
        consistency.check_audiences(self._notes, profiles, issuers)
        consistency.require_distinct_voms(self._notes, profiles, voms)
        consistency.require_distinct_issuers(self._notes, issuers)
        consistency.require_distinct_workloads(self._notes, workloads)
        for section in ("issuers", "mapping", "sessions"):
            self._known.require_distinct(self._notes, section)
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
            workloads=tuple(workloads.values()),
            admin=admin,
            legacy=legacy,
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
        vos = {}
        for name, profile in profiles.items():
            wanted = profile.voms if isinstance(profile, ProxyProfile) else ()
            for each in wanted:
                if not self._known.has("voms", each):
                    self._notes.wrong(("profiles", name, "voms"), f"there is no '{each}' under `voms`")
            vos[str(name)] = frozenset(voms[each].vo for each in wanted if each in voms)
        kind = self._known.authority_kind()
        return MappingBuilder(self._known, vos=vos, brings_dn=str(kind) if kind in _BRING_DN else None)


def _meet(path: Path, broken: Path) -> bool:
    """Tell whether a part is broken: something in it, or the section that it stands in."""
    shorter = min(len(path), len(broken))
    return shorter > 0 and path[:shorter] == broken[:shorter]
