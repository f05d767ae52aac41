"""A proxy file: the key is made here, and only a request for its certificate travels."""

from __future__ import annotations

from datetime import UTC, datetime

from proxy_gen.credential import Credential
from proxy_gen.csr import make_csr
from proxy_gen.errors import ProxyGenError
from proxy_gen.keys import generate_key
from ttscache.sidecar.fitting import Wanted, facts_of, require_fit
from ttscache.sidecar.keeping import New, Present, put, remembered
from ttscache.sidecar.order import Item, Outcome
from ttscache.sidecar.place import Held, Place
from ttscache.sidecar.visit import Visit


def renew(visit: Visit, item: Item, place: Place, min_left: float) -> Outcome:
    """Put a new proxy in place where it is due. Raises ClientError, UnfitError, ProxyGenError, ValueError, OSError."""
    wanted = Wanted.of(visit.whoami(), item.profile)
    now = datetime.now(UTC)
    held = place.read(item.path.name)
    present = _present(held, wanted, now) if held is not None else remembered(place, item, now.timestamp())
    enough = present is not None and present.not_after - now.timestamp() >= min_left
    if present is not None and enough and not item.due and present.is_fresh(now.timestamp()):
        return present.kept()
    key = generate_key(wanted.key)
    token, csr = visit.token, make_csr(key)
    answer = visit.client.proxy(token, profile=item.profile, csr=csr)
    credential = Credential(Credential.parse(answer.pem).chain, key)
    now = datetime.now(UTC)
    facts = require_fit(credential, wanted, now)
    new = New(facts.identity, facts.not_after.timestamp(), credential.to_pem())
    return put(place, item.path.name, present, new, min_left=min_left, now=now.timestamp())


def standing(held: Held | None) -> Present | None:
    """Return what is in a file, if it is a proxy that is good now; whether it is what is wanted is not known."""
    return _present(held, None, datetime.now(UTC))


def _present(held: Held | None, wanted: Wanted | None, now: datetime) -> Present | None:
    if held is None:
        return None
    try:
        credential = Credential.parse(held.content)
        facts = facts_of(credential)
        if credential.key is None or not credential.leaf.not_valid_before_utc <= now < facts.not_after:
            return None
    except (ProxyGenError, ValueError):
        return None
    fits = wanted is not None and _fits(credential, wanted, now)
    return Present(facts.identity, facts.not_after.timestamp(), held.written_at, fits)


def _fits(credential: Credential, wanted: Wanted, now: datetime) -> bool:
    try:
        require_fit(credential, wanted, now)
    except (ProxyGenError, ValueError):
        return False
    return True
