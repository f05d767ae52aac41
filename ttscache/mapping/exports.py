"""The mapping rules as files that consumers read. What a format cannot say exactly is left out, by name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum

from proxy_gen.mapfiles import condor, gridmap, lcmaps, xrootd
from ttscache.mapping.export_grants import LeftOut, grants, why_nobody
from ttscache.mapping.export_groups import group_accounts
from ttscache.mapping.export_names import KnownName, condor_entries, gridmap_accounts
from ttscache.mapping.export_xrootd import accesses, token_entries
from ttscache.mapping.rules import Rule


class Format(Enum):
    """The formats, under the names that the command line has for them."""

    CONDOR = "condor"
    CONDOR_HASH = "condor-hash"
    CONDOR_GSI = "condor-gsi"
    GRIDMAP = "gridmap"
    LCMAPS = "lcmaps"
    LCMAPS_GROUP = "lcmaps-group"
    XROOTD_VOMS = "xrootd-voms"
    XROOTD_AUTHDB = "xrootd-authdb"
    XROOTD_SCITOKENS = "xrootd-scitokens"


CONDOR_FORMATS = frozenset({Format.CONDOR, Format.CONDOR_HASH, Format.CONDOR_GSI})
NAME_FORMATS = frozenset({Format.GRIDMAP, Format.LCMAPS})


@dataclass(frozen=True)
class Source:
    """What a file is made of: rules in their order, names that were given, and for tokens their issuer's name.

    ``groups_claim`` tells whether this issuer's tokens have `wlcg.groups`.
    """

    rules: Sequence[Rule]
    known: Sequence[KnownName] = ()
    issuer: str = ""
    groups_claim: bool = True


@dataclass(frozen=True)
class Export:
    """A file, and the rules of which it does not say everything."""

    text: str
    left_out: tuple[LeftOut, ...]


def needs_known_names(form: Format, rules: Sequence[Rule]) -> bool:
    """Tell whether a file of this format says more when names that were given are known."""
    if form not in NAME_FORMATS and form is not Format.XROOTD_AUTHDB:
        return False
    return any(grant.pattern.claims and grant.account is not None for rule in rules for grant in grants(rule))


def export(form: Format, source: Source) -> Export:
    """Return the file of a format, and what is left out of what the rules with an account say."""
    nobody = {rule.name: why for rule in source.rules if (why := why_nobody(rule)) is not None}
    if form is not Format.XROOTD_SCITOKENS:  # there also what refuses comes before what follows it
        source = replace(source, rules=[rule for rule in source.rules if rule.name not in nobody])
    text, left_out = _written(form, source)
    others = (each for each in left_out if each.rule not in nobody)
    return Export(text, (*others, *(LeftOut(name, why) for name, why in nobody.items())))


def _written(form: Format, source: Source) -> tuple[str, list[LeftOut]]:
    if form in CONDOR_FORMATS:
        entries, left_out = condor_entries(source.rules)
        return condor.write(entries, condor.Form(form.value)), left_out
    if form in NAME_FORMATS:
        reader = gridmap.Reader(form.value)
        accounts, left_out = gridmap_accounts(source.rules, source.known, reader)
        return gridmap.write(accounts, reader), left_out
    if form is Format.LCMAPS_GROUP:
        groups, left_out = group_accounts(source.rules, pools=True)
        return lcmaps.write(groups), left_out
    if form is Format.XROOTD_VOMS:
        groups, left_out = group_accounts(source.rules, pools=False)
        return xrootd.write_voms(groups), left_out
    if form is Format.XROOTD_AUTHDB:
        allowed, left_out = accesses(source.rules, source.known)
        return xrootd.write_authdb(allowed), left_out
    tokens, left_out = token_entries(source.rules, source.issuer, groups_claim=source.groups_claim)
    return xrootd.write_scitokens(tokens), left_out
