"""What each rule can give, as patterns: which names with which accounts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import product
from math import prod

from proxy_gen.errors import NameRefusedError
from proxy_gen.mapfiles.patterns import Account, Hole, NamePattern
from ttscache.mapping.engine import is_account, unfit_in_account, unfit_in_dn
from ttscache.mapping.rules import Rule
from ttscache.mapping.template import ClaimUnfitError, Literal, Placeholder, Template

# combinations of values that one rule's conditions allow for the claims that it puts into names
_MAX_VARIANTS = 1000
_PRINTABLE = tuple(map(chr, range(0x20, 0x7F)))


@dataclass(frozen=True)
class LeftOut:
    """A rule of which a file does not say everything, and why."""

    rule: str
    why: str

    def __str__(self) -> str:
        return f"rule '{self.rule}': {self.why}"


@dataclass(frozen=True)
class Grant:
    """Names that a rule can give, and their account; None where it gives none.

    ``unclear`` says why the account cannot be told from the name; it may then be any. ``fixed`` are claims whose values
    the rule's conditions fix, as they are in this grant.
    """

    rule: str
    pattern: NamePattern
    account: Account | None
    unclear: str | None = None
    fixed: Mapping[str, str] = field(default_factory=dict)

    def accounts(self, name: str) -> frozenset[str | None] | None:
        """Return the accounts that this gives with a name (empty where it never gives it), None if they are unclear."""
        bindings = list(self.pattern.bindings(name))
        if self.unclear is not None:
            return None if bindings else frozenset()
        if self.account is None:
            return frozenset({None} if bindings else ())
        given = (self.account.of(claims) for claims in bindings)
        return frozenset(account for account in given if is_account(account))


def grants(rule: Rule) -> list[Grant]:
    """Return what a rule can give: one grant for each combination of the claims that its conditions fix.

    Of a rule without a DN of its own, whose authority brings it along, nothing is known.
    """
    if rule.dn is None:
        return []
    variants = _variants(rule)
    if variants is None:
        unclear = f"its conditions allow more than {_MAX_VARIANTS} combinations of the claims in its names"
        return [grant for grant in (_grant(rule, rule.dn, rule.account, unclear),) if grant is not None]
    return [grant for claims in variants if (grant := _variant(rule, rule.dn, claims)) is not None]


def one_account(rule: Rule) -> str | None:
    """Return the account that a rule gives to all, or None where it gives none, or not one alone."""
    if rule.account is None:
        return None
    accounts: set[str | None] = set()
    for claims in _variants(rule) or ({},):
        try:
            account, unclear = _account(_with_values(rule.account, claims, in_dn=False))
        except ClaimUnfitError:
            continue
        accounts.add(None if unclear or account.claim is not None else account.prefix)
    found = accounts.pop() if len(accounts) == 1 else None
    return found if found is not None and is_account(found) else None


def why_nobody(rule: Rule) -> str | None:
    """Return why the mapping refuses everybody whom a rule with an account takes, or None."""
    if rule.account is None:
        return None
    if not any(_can_be_account(rule.account, claims) for claims in _variants(rule) or ({},)):
        return "its account is no user name for jobs, so that the mapping refuses everybody"
    if rule.dn is not None and not grants(rule):
        return "its DN cannot be signed, or its account is no user name, so that the mapping refuses everybody"
    return None


def _can_be_account(template: Template, claims: Mapping[str, str]) -> bool:
    try:
        account, unclear = _account(_with_values(template, claims, in_dn=False))
    except ClaimUnfitError:
        return False
    return unclear is not None or account.claim is not None or is_account(account.prefix)


def _variants(rule: Rule) -> list[dict[str, str]] | None:
    """Return the combinations of what the conditions fix of the claims in the rule's names; None if too many."""
    placed = {piece.claim for piece in _pieces(rule.dn, rule.account) if isinstance(piece, Placeholder)}
    fixed = {claim: values for claim, values in _fixed(rule).items() if claim in placed}
    if prod(len(values) for values in fixed.values()) > _MAX_VARIANTS:
        return None
    return [dict(zip(fixed, values, strict=True)) for values in product(*fixed.values())]


def _variant(rule: Rule, template: Template, claims: Mapping[str, str]) -> Grant | None:
    try:
        dn = _with_values(template, claims, in_dn=True)
        account = None if rule.account is None else _with_values(rule.account, claims, in_dn=False)
    except ClaimUnfitError:
        return None  # the mapping refuses it as well
    return _grant(rule, dn, account, None, claims)


def _grant(
    rule: Rule, dn: Template, account: Template | None, unclear: str | None, fixed: Mapping[str, str] | None = None
) -> Grant | None:
    given = Account("")
    if account is not None and unclear is None:
        given, unclear = _account(account)
    wanted = {piece.claim for piece in _pieces(account) if isinstance(piece, Placeholder)}
    pieces = (
        piece.text if isinstance(piece, Literal) else Hole(piece.claim, _characters(in_account=piece.claim in wanted))
        for piece in dn.pieces
    )
    try:
        pattern = NamePattern.of(tuple(pieces))
    except NameRefusedError:
        return None
    if account is None:
        return Grant(rule.name, pattern, None, fixed=fixed or {})
    if unclear is None and given.claim is None and not is_account(given.prefix):
        return None
    if unclear is None and given.claim is not None and given.claim not in pattern.claims:
        unclear = f"its account has the claim '{given.claim}', which is not in its DN"
    return Grant(rule.name, pattern, given, unclear, fixed or {})


def _account(template: Template) -> tuple[Account, str | None]:
    """Return the account, and why it cannot be said."""
    places = [index for index, piece in enumerate(template.pieces) if isinstance(piece, Placeholder)]
    if len(places) > 1:
        return Account(""), "its account has more than one claim in it"
    at = places[0] if places else len(template.pieces)
    before, after = (
        "".join(piece.text for piece in pieces if isinstance(piece, Literal))
        for pieces in (template.pieces[:at], template.pieces[at + 1 :])
    )
    if not places:
        return Account(before), None
    if not is_account(f"{before}a{after}"):
        return Account(""), "its account is no user name whatever the claim"
    place = template.pieces[at]
    return Account(before, place.claim if isinstance(place, Placeholder) else None, after), None


def _fixed(rule: Rule) -> dict[str, tuple[str, ...]]:
    when = rule.when
    named = {"sub": when.sub, "client_id": when.client_id, **when.claims}
    return {claim: tuple(dict.fromkeys(values)) for claim, values in named.items() if values}


def _with_values(template: Template, claims: Mapping[str, str], *, in_dn: bool) -> Template:
    unfit = unfit_in_dn if in_dn else unfit_in_account
    pieces: list[Literal | Placeholder] = []
    for piece in template.pieces:
        if isinstance(piece, Placeholder) and piece.claim in claims:
            pieces.append(Literal(Template((piece,)).fill(claims, unfit)))
        else:
            pieces.append(piece)
    return Template(tuple(pieces))


def _pieces(*templates: Template | None) -> Iterator[Literal | Placeholder]:
    for template in templates:
        if template is not None:
            yield from template.pieces


@lru_cache
def _characters(*, in_account: bool) -> frozenset[str]:
    """Return the characters that a claim may have in a DN, and where it is the account's as well, in that."""
    fit: Iterable[str] = (c for c in _PRINTABLE if unfit_in_dn(c) is None)
    return frozenset(c for c in fit if not in_account or unfit_in_account(c) is None)
