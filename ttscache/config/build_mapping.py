"""The part of a configuration that says who gets what: the mapping rules."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from proxy_gen.errors import NameRefusedError
from proxy_gen.name_rules import require_mintable
from proxy_gen.names import DistinguishedName
from proxy_gen.voms.fqan import Fqan
from ttscache.config.document import Path
from ttscache.config.known import Known
from ttscache.config.notes import SAMPLE_CLAIM, Notes, strings
from ttscache.identity.claims import with_leading_slash
from ttscache.mapping.rules import Rule, When
from ttscache.mapping.template import Template, TemplateError


class MappingBuilder:
    """Builds rules; the names that they may refer to are known from the other parts.

    ``vos`` are the VOs of the profiles that carry attributes, by profile; ``brings_dn`` is the kind of an authority
    that rules have no `dn` under.
    """

    def __init__(self, known: Known, vos: Mapping[str, frozenset[str]], brings_dn: str | None) -> None:
        self._known = known
        self._vos = vos
        self._brings_dn = brings_dn

    def rule(self, notes: Notes, path: Path, part: Mapping[str, Any]) -> Rule:
        """Build a rule."""
        fqans = [fqan for i, text in enumerate(part["fqans"]) if (fqan := _fqan(notes, (*path, "fqans", i), text))]
        self._check_profiles(notes, path, part["profiles"], {fqan.vo for fqan in fqans})
        return Rule(
            name=part["name"],
            when=self.when(notes, (*path, "when"), part["when"]),
            dn=self._dn(notes, path, part),
            account=notes.template((*path, "account"), part["account"]) if "account" in part else None,
            fqans=tuple(dict.fromkeys(fqan.short for fqan in fqans)),
            scopes=tuple(part["scopes"]),
            profiles=tuple(part["profiles"]),
            shared=part["shared"],
        )

    def _check_profiles(self, notes: Notes, path: Path, profiles: Sequence[str], granted: set[str]) -> None:
        for index, name in enumerate(profiles):
            place = (*path, "profiles", index)
            if not self._known.has("profiles", name):
                notes.wrong(place, f"there is no profile '{name}' under `profiles`")
            for vo in sorted(self._vos.get(name, frozenset()) - granted):
                notes.wrong(place, f"profile '{name}' carries attributes of VO '{vo}', of which `fqans` has none")

    def when(self, notes: Notes, path: Path, part: Mapping[str, Any]) -> When:
        """Build conditions."""
        for key in ("issuer", "session"):
            for name in strings(part.get(key)):
                if name not in self._known.names(f"{key}s"):
                    notes.wrong((*path, key), f"there is no {key} '{name}' under `{key}s`")
                if key == "issuer" and name in self._known.clusters():
                    notes.wrong((*path, key), f"'{name}' is a cluster: its pods act by the sessions of `workloads`")
        return When(
            issuer=strings(part.get("issuer")),
            session=strings(part.get("session")),
            sub=strings(part.get("sub")),
            client_id=strings(part.get("client_id")),
            groups=tuple(with_leading_slash(group) for group in strings(part.get("groups"))),
            scopes=strings(part.get("scopes")),
            entitlements=strings(part.get("entitlements")),
            claims={name: strings(values) for name, values in part.get("claims", {}).items()},
        )

    def _dn(self, notes: Notes, path: Path, part: Mapping[str, Any]) -> Template | None:
        if self._brings_dn is None:
            if "dn" in part:
                return _dn_template(notes, (*path, "dn"), part["dn"])
            notes.wrong(path, "the key 'dn' is missing")
        elif "dn" in part:
            notes.wrong((*path, "dn"), f"an authority of kind {self._brings_dn} brings the DN along; leave it out")
        if self._brings_dn == "robot" and not part["shared"]:
            notes.wrong(path, "all proxies of a robot have its DN: say `shared: true`")
        return None


def _fqan(notes: Notes, path: Path, text: str) -> Fqan | None:
    return notes.noted(path, lambda: Fqan.parse(text), None)


def _dn_template(notes: Notes, path: Path, text: str) -> Template:
    template = notes.template(path, text)
    if template.pieces:
        with notes.noting(path):
            if not template.literal_prefix.startswith("/"):
                raise TemplateError("must be a DN in slash form that begins with a literal, such as /DC=ch/CN={sub}")
            sample = "".join(getattr(piece, "text", SAMPLE_CLAIM) for piece in template.pieces)
            require_mintable(DistinguishedName.parse(sample))
            require_quotable(template.literal_prefix)
    return template


def require_quotable(name: str) -> None:
    """Refuse what would end a pattern of the CA's signing policy, or widen it. Raises NameRefusedError."""
    for character in "\"'*":
        if character in name:
            raise NameRefusedError("name_character", f"a {character} cannot stand in a CA's signing policy")
