"""Files that only XRootD reads: who may what where, and accounts for tokens."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from proxy_gen.mapfiles.xrootd import Access, TokenEntry, is_plain_path
from ttscache.mapping.export_grants import LeftOut, one_account
from ttscache.mapping.export_names import KnownName, known_accounts
from ttscache.mapping.rules import Rule

_STORAGE = "storage."
# what XrdAcc has no words for, and why
_UNSAYABLE = {
    "storage.create": "XrdAcc cannot let files be made that could not be overwritten",
    "storage.stage": "XrdAcc has no privilege for staging",
}


def accesses(rules: Sequence[Rule], known: Iterable[KnownName]) -> tuple[dict[str, Access], list[LeftOut]]:
    """Return what accounts may, from the storage scopes of their rules; several rules of one account add up."""
    found: dict[str, Access] = {}
    left_out: list[LeftOut] = []
    names, unnamed = known_accounts(rules, known)
    of_rules: dict[str, set[str]] = {}
    for one in names.values():
        of_rules.setdefault(one.rule, set()).add(str(one.account))
    for rule in rules:
        if rule.account is None:
            continue
        access, missing = _access(rule)
        left_out += missing
        if access == Access():
            continue
        one_for_all = one_account(rule)
        if one_for_all is None:
            left_out += [left for left in unnamed if left.rule == rule.name]
        for account in sorted(of_rules.get(rule.name, ())) if one_for_all is None else [one_for_all]:
            if account.startswith("."):
                left_out.append(LeftOut(rule.name, "a pool account names nobody there"))
            else:
                found[account] = found.get(account, Access()) | access
    return dict(sorted(found.items())), left_out


def token_entries(rules: Sequence[Rule], issuer: str, *, groups_claim: bool) -> tuple[list[TokenEntry], list[LeftOut]]:
    """Return the name map for tokens of one issuer, in the order of the rules.

    ``groups_claim``: its tokens have `wlcg.groups`, the only claim of groups that XRootD looks at.
    """
    entries: list[TokenEntry] = []
    left_out: list[LeftOut] = []
    missing: list[tuple[Rule, str | None]] = []
    for rule in rules:
        if rule.when.issuer and issuer not in rule.when.issuer:
            continue
        account = one_account(rule)
        why = _why_not_in_tokens(rule, account, groups_claim=groups_claim)
        for earlier, its_account in missing:
            if why is None and account != its_account and _share_a_subject(earlier, rule):
                why = f"rule '{earlier.name}', which is not in the file, decides on some of its tokens before it"
        if why is None and account is not None:
            entries += _entries(rule, account)
            continue
        missing.append((rule, account))
        if why is not None:
            left_out.append(LeftOut(rule.name, why))
    return entries, left_out


def _access(rule: Rule) -> tuple[Access, list[LeftOut]]:
    paths: dict[str, set[str]] = {}
    left_out: list[LeftOut] = []
    for scope in rule.scopes:
        name, _, path = scope.partition(":")
        if not name.startswith(_STORAGE):
            continue
        if is_plain_path(path):
            paths.setdefault(name, set()).add(path)
        else:
            left_out.append(LeftOut(rule.name, f"without {scope}: the path is misread"))
    read, modify = paths.pop("storage.read", set()), paths.pop("storage.modify", set())
    may_write = {path for path in modify if _covered(path, read)}
    unread = [("storage.modify", path, "XrdAcc lets nobody write who cannot read") for path in modify - may_write]
    unsaid = [
        (name, path, _UNSAYABLE.get(name, "XrdAcc has no privilege for it"))
        for name, others in paths.items()
        for path in others
        if name != "storage.create" or not _covered(path, may_write)  # who may change may make
    ]
    left_out += [LeftOut(rule.name, f"without {name}:{path}: {why}") for name, path, why in sorted(unread + unsaid)]
    return Access(frozenset(read), frozenset(may_write)), left_out


def _covered(path: str, wider: set[str]) -> bool:
    return any((path.rstrip("/") + "/").startswith(each.rstrip("/") + "/") for each in wider)


def _why_not_in_tokens(rule: Rule, account: str | None, *, groups_claim: bool) -> str | None:
    when = rule.when
    if when.session or when.client_id or when.scopes or when.entitlements or when.claims:
        return "it has conditions on more than issuer, sub and groups"
    if when.groups and not groups_claim:
        return "XRootD finds groups in `wlcg.groups` only, which this issuer's token profile does not have"
    if rule.account is None:
        return None
    if account is None:
        return "its account is not one and the same for all"
    return "a pool account names nobody there" if account.startswith(".") else None


def _share_a_subject(one: Rule, other: Rule) -> bool:
    return not one.when.sub or not other.when.sub or bool(set(one.when.sub) & set(other.when.sub))


def _entries(rule: Rule, account: str) -> list[TokenEntry]:
    # the mapping takes groups with and without their first slash, XRootD as they stand in the token
    groups = [form for group in rule.when.groups for form in (group, group.removeprefix("/"))]
    return [
        TokenEntry(account, sub=sub, group=group) for sub in rule.when.sub or (None,) for group in groups or (None,)
    ]
