"""The self check of an exported file: read as its consumer reads it, it gives what the rules give, and nothing else.

Examples come from the mapping engine itself, which decides on identities made up for each rule; near misses are
examples with a change, of which the rules say what they may be.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from itertools import permutations, product
from typing import TypeVar

from proxy_gen.errors import FqanRefusedError
from proxy_gen.mapfiles import condor, gridmap, lcmaps, xrootd
from proxy_gen.mapfiles.patterns import NamePattern
from proxy_gen.voms.fqan import Fqan
from ttscache.errors import TracedRefusalError
from ttscache.mapping.engine import decide
from ttscache.mapping.export_grants import grants, one_account, why_nobody
from ttscache.mapping.export_standings import Standings
from ttscache.mapping.exports import CONDOR_FORMATS, NAME_FORMATS, Export, Format, Source
from ttscache.mapping.rules import Rule
from ttscache.mapping.template import Placeholder
from ttscache.model import Decision, Identity

_T = TypeVar("_T")
_ANYBODY = "nobody-knows"
# values that claims can have: short, long, odd, and such as nearly are something else
_VALUES = ("a", "Jane Doe", "j.doe-1_x", "x" * 30, "y" * 63, "7", "root1", "a(b)*[c]?'", "proxy-1")
# what is no account, or no value
_IMPOSSIBLE = ("root", "0", "1234", "-", "a b", "a/b", "z" * 64)
# stands for any account
_UNCLEAR = "?"
_MAX_EXAMPLES = 64


def faults(form: Format, source: Source, exported: Export) -> list[str]:
    """Return what is wrong with a file, in words; empty when nothing is."""
    partly = {left.rule for left in exported.left_out}
    whole = {rule.name for rule in source.rules} - partly
    try:
        if form in CONDOR_FORMATS:
            return _names(source, _condor(form, exported.text), whole)
        if form in NAME_FORMATS:
            templates = {rule.name for rule in source.rules if any(grant.pattern.claims for grant in grants(rule))}
            listed = gridmap.read(exported.text)
            return _names(source, listed.get, whole - templates, listed)
        if form is Format.LCMAPS_GROUP:
            return _groups(source.rules, lcmaps.Reader(exported.text).map, whole)
        if form is Format.XROOTD_VOMS:
            return _groups(source.rules, xrootd.VomsReader(exported.text).map, whole)
        if form is Format.XROOTD_AUTHDB:
            return _paths(source, xrootd.AuthdbReader(exported.text), whole)
        return _tokens(source, xrootd.TokenReader(exported.text), whole)
    except (ValueError, KeyError, re.error) as error:
        return [f"the file cannot be read: {error}"]


def examples(rule: Rule) -> Iterator[tuple[Identity, Decision]]:
    """Yield identities that the rule takes, with its decisions."""
    pieces = [piece for template in (rule.dn, rule.account) if template is not None for piece in template.pieces]
    claims = {piece.claim for piece in pieces if isinstance(piece, Placeholder)}
    fixed = {"sub": rule.when.sub, "client_id": rule.when.client_id, **rule.when.claims}
    free = sorted(claim for claim in claims if not fixed.get(claim))
    pinned = {claim: values for claim, values in fixed.items() if values}
    for index, values in enumerate(product(*pinned.values(), *(_VALUES for _ in free))):
        if index == _MAX_EXAMPLES:
            return
        identity = _identity(rule, dict(zip((*pinned, *free), values, strict=True)))
        try:
            yield identity, decide([rule], identity)
        except TracedRefusalError:
            continue  # nothing comes out with these values


def near_misses(name: str) -> tuple[str, ...]:
    """Return names that are nearly this one, and a few that a careless pattern would take for it."""
    return (
        *(name + more for more in ("x", " ", "/CN=1234567", "/CN=proxy", "/CN=limited proxy", "/O=more")),
        *("x" + name, "/CN=x" + name, name[:-1], name[1:], name.rpartition("/")[0]),
        re.sub("=(.)", r"=\1/", name),
        *(name.swapcase(), name.replace(".", "x"), name.replace("=", "=x", 1), name.replace("/", "//", 1)),
    )


def _condor(form: Format, text: str) -> Callable[[str], str | None]:
    reader = condor.Reader(text, assume_hash=form is Format.CONDOR_HASH)
    method = "GSI" if form is Format.CONDOR_GSI else "SSL"
    return lambda name: reader.map(method, name)


def _names(
    source: Source, mapped: Callable[[str], str | None], whole: AbstractSet[str], listed: Iterable[str] = ()
) -> list[str]:
    said = _Said(source)
    known = {one.dn for one in source.known}
    tried = {dn for rule in source.rules for dn in _spread([one.dn for one in source.known if one.rule == rule.name])}
    found = []
    for rule in source.rules:
        for identity, alone in examples(rule):
            if alone.dn is not None:
                tried.add(alone.dn)
            decision = _decided(source.rules, identity)
            if decision is None or decision.dn is None:
                continue
            account = mapped(decision.dn)
            # what is known of a name is not this identity's
            may_be = {decision.account} if decision.rule in whole else {decision.account, None}
            if account not in may_be and (decision.rule in whole or decision.dn not in known):
                found.append(f"{decision.dn} has the account {account}, and of rule '{decision.rule}' another")
    near = {near for name in (*tried, *said.impossible()) for near in near_misses(name)}
    for name in sorted({*listed, *known, *tried, *near, *said.impossible()}):
        account = mapped(name)
        if account is not None and said.accounts(name) != {account}:
            found.append(f"{name} has the account {account}, which the rules do not give it, or not alone")
    return found


def _spread(names: Sequence[_T]) -> Sequence[_T]:
    """Return some of many, from all over."""
    return names[:: len(names) // _MAX_EXAMPLES + 1]


def _decided(rules: Sequence[Rule], identity: Identity) -> Decision | None:
    try:
        return decide(rules, identity)
    except TracedRefusalError:
        return None


class _Said:
    """What the rules say of names, each with what is known of it."""

    def __init__(self, source: Source) -> None:
        self._standings = Standings(source.rules)
        self._known = {(one.dn, one.rule): one.account for one in source.known}

    def accounts(self, name: str) -> set[str | None]:
        """Return the accounts that a name can have."""
        by_rule: dict[str, set[str | None]] = {}
        for standing in self._standings.of(name):
            given = standing.accounts(name)
            by_rule.setdefault(standing.grant.rule, set()).update({_UNCLEAR} if given is None else given)
        return {account for rule, given in by_rule.items() for account in self._settled(name, rule, given)}

    def impossible(self) -> Iterator[str]:
        """Yield what templates would give with values that claims cannot have there."""
        by_rule: dict[str, list[NamePattern]] = {}
        for standing in self._standings:
            by_rule.setdefault(standing.grant.rule, []).append(standing.grant.pattern)
        for patterns in by_rule.values():
            for pattern in _spread(patterns):
                for claim, value in product(pattern.claims, _IMPOSSIBLE):
                    yield pattern.example({each: value if each == claim else "a" for each in pattern.claims})

    def _settled(self, name: str, rule: str, given: set[str | None]) -> set[str | None]:
        """Return which of a rule's accounts it is, where that is known."""
        known = self._known.get((name, rule))
        return {known} if known is not None and (_UNCLEAR in given or known in given) else given


def _groups(rules: Sequence[Rule], mapped: Callable[[Sequence[str]], str | None], whole: AbstractSet[str]) -> list[str]:
    """Try each rule's FQANs one by one and two by two: whoever asks chooses which, and in which order."""
    found = []
    given: dict[Fqan, set[str | None]] = {}
    for rule in (rule for rule in rules if why_nobody(rule) is None):
        fqans = _parsed(rule.fqans)
        accounts = {decision.account for _, decision in examples(rule)} or {one_account(rule)}
        for fqan in fqans:
            given.setdefault(fqan, set()).update(accounts)
        for asked in (*permutations(fqans, 1), *permutations(fqans, 2)):
            account = mapped([fqan.long for fqan in asked])
            if (account is not None or rule.name in whole) and accounts != {account}:
                found.append(
                    f"proxies of rule '{rule.name}' with {' '.join(map(str, asked))} have the account {account}, "
                    "which it does not give"
                )
    for near in sorted({near for fqan in given for near in _neighbours(fqan)}, key=str):
        for form in (near.long, near.short):
            account = mapped([form])
            if account is not None and given.get(near) != {account}:
                found.append(f"{form} has the account {account}, which no rule gives it")
    return found


def _neighbours(fqan: Fqan) -> Iterator[Fqan]:
    yield fqan
    yield Fqan(fqan.group)
    yield Fqan(fqan.group + "x", fqan.role)
    yield Fqan(fqan.group + "/x", fqan.role)
    yield Fqan(fqan.group, (fqan.role or "") + "x")
    yield Fqan(fqan.group.swapcase(), fqan.role)
    if parent := fqan.group.rpartition("/")[0]:
        yield Fqan(parent, fqan.role)


def _parsed(texts: Iterable[str]) -> tuple[Fqan, ...]:
    try:
        return tuple(Fqan.parse(text) for text in texts)
    except FqanRefusedError:
        return ()


def _paths(source: Source, reader: xrootd.AuthdbReader, whole: AbstractSet[str]) -> list[str]:
    found = []
    of_account: dict[str, list[Rule]] = {}
    for rule in source.rules:
        accounts = {decision.account for _, decision in examples(rule)}
        accounts |= {one.account for one in source.known if one.rule == rule.name}
        accounts |= {g.account.prefix for g in grants(rule) if g.account is not None and g.pattern.literal is not None}
        for account in accounts - {None}:
            of_account.setdefault(str(account), []).append(rule)
    for account in reader.accounts:
        scopes = [scope for rule in of_account.get(account, []) for scope in rule.scopes]
        tops = {"/", *reader.paths(account), *(scope.partition(":")[2] for scope in scopes)}
        for path in sorted({path for top in tops for path in _near_paths(top)}):
            has, may = reader.privileges(account, path), _may(scopes, path)
            if has - may:
                found.append(f"{account} may {''.join(sorted(has - may))} at {path}, which no scope allows")
    for rule in (rule for rule in source.rules if rule.name in whole):
        account = one_account(rule)
        for scope in rule.scopes:
            below = scope.partition(":")[2].rstrip("/") + "/x"
            if account is not None and _may([scope], below) - reader.privileges(account, below):
                found.append(f"{account} may not do at {below} what {scope} allows")
    return found


def _may(scopes: Iterable[str], path: str) -> set[str]:
    letters: set[str] = set()
    for scope in scopes:
        name, _, top = scope.partition(":")
        if (path + "/").startswith(top.rstrip("/") + "/"):
            letters |= {"storage.read": set("rl"), "storage.modify": set("rlwidn")}.get(name, set())
    return letters


def _near_paths(path: str) -> Iterator[str]:
    top = path.rstrip("/")
    yield from (top or "/", top + "/x", top + "2", top + "2/x", top[:-1] or "/", top.upper() or "/", "/elsewhere")


def _tokens(source: Source, reader: xrootd.TokenReader, whole: AbstractSet[str]) -> list[str]:
    found = []
    rules = [rule for rule in source.rules if not rule.when.issuer or source.issuer in rule.when.issuer]
    accounts = {rule.name: one_account(rule) for rule in rules}
    for rule in rules:
        for identity, _ in examples(rule):
            for tried in _near_identities(identity, source.issuer):
                account = reader.map(tried.subject, tried.groups)
                # whatever the claims in its names: they are not looked at here
                decided_by = next((each for each in rules if each.when.missed(tried) is None), None)
                wanted = None if decided_by is None else accounts[decided_by.name]
                if account != wanted and (account is not None or (decided_by and decided_by.name in whole)):
                    found.append(f"a token of rule '{rule.name}' or near it has the account {account}, not {wanted}")
    return found


def _near_identities(identity: Identity, issuer: str) -> Iterator[Identity]:
    for subject in (identity.subject, identity.subject + "x", _ANYBODY):
        for groups in (identity.groups, tuple(group + "x" for group in identity.groups), ()):
            claims = {**identity.claims, "sub": subject}
            yield Identity(
                issuer=issuer, subject=subject, client_id=identity.client_id, groups=groups, scopes=identity.scopes,
                entitlements=identity.entitlements, claims=claims, issued_at=0, expires_at=0, digest="",
            )  # fmt: skip


def _identity(rule: Rule, claims: dict[str, str]) -> Identity:
    """Return an identity that meets the rule's conditions."""
    when = rule.when
    subject, client = claims.get("sub", _ANYBODY), claims.get("client_id")
    return Identity(
        issuer=next(iter(when.issuer), ""),
        subject=subject,
        client_id=client,
        groups=when.groups[:1],
        scopes=frozenset(when.scopes),
        entitlements=when.entitlements[:1],
        claims={"sub": subject, **claims},
        issued_at=0,
        expires_at=0,
        digest="",
        session=next(iter(when.session), None),
    )
