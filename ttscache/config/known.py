"""What a document names, also in parts that cannot be built: references to them are no further mistakes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ttscache.config.document import Path
from ttscache.config.notes import Notes

_CLUSTER = "kubernetes"


class Known:
    """The names in a document, whatever is wrong with it."""

    def __init__(self, root: Mapping[str, Any]) -> None:
        self._root = root

    def names(self, section: str) -> list[str | None]:
        """Return the names of a list's entries, None for one without."""
        entries = self._root.get(section)
        listed = entries if isinstance(entries, list) else []
        names = (entry.get("name") if isinstance(entry, dict) else None for entry in listed)
        return [name if isinstance(name, str) else None for name in names]

    def keys(self, section: str) -> list[str]:
        """Return the keys of a mapping."""
        entries = self._root.get(section)
        return list(entries) if isinstance(entries, dict) else []

    def has(self, section: str, key: str) -> bool:
        """Tell whether a section has a key."""
        return key in self.keys(section)

    def authority_kind(self) -> object:
        """Return the kind of the authority."""
        authority = self._root.get("authority")
        return authority.get("kind") if isinstance(authority, dict) else None

    def exchanging(self) -> frozenset[str]:
        """Return the names of the issuers that sessions are held with."""
        return frozenset(str(each.get("name")) for each in self._issuers() if "exchange" in each)

    def clusters(self) -> frozenset[str]:
        """Return the names of the issuers that are Kubernetes clusters."""
        return frozenset(str(each.get("name")) for each in self._issuers() if each.get("token_profile") == _CLUSTER)

    def require_distinct(self, notes: Notes, section: str) -> None:
        """Note each name of a list that is there already."""
        names = self.names(section)
        for index, name in enumerate(names):
            if name is not None and name in names[:index]:
                path: Path = (section, index, "name")
                notes.wrong(path, f"the name '{name}' is there already")

    def _issuers(self) -> Iterator[Mapping[str, Any]]:
        entries = self._root.get("issuers")
        return (each for each in (entries if isinstance(entries, list) else []) if isinstance(each, dict))
