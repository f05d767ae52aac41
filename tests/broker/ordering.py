"""Orders for the rooms below the broker: jane's, unless a test says otherwise."""

from typing import Any

from proxy_gen.voms.fqan import Fqan
from tests.broker.world import profile
from tests.mapping.people import identity, rule
from ttscache.broker.orders import MintingOrder
from ttscache.config.settings import ProxyProfile
from ttscache.mapping.engine import decide
from ttscache.model import Session

JANE = "/DC=ch/DC=example/OU=People/CN=jane"
USUAL = profile()


def ordered(
    dn: str = JANE,
    wanted: ProxyProfile = USUAL,
    session: Session | None = None,
    fqans: dict[str, tuple[Fqan, ...]] | None = None,
    **changes: Any,  # noqa: ANN401 - an order's own
) -> MintingOrder:
    somebody = identity()
    fields: dict[str, Any] = {"lifetime": wanted.lifetime, "limited": False, "limits": {}} | changes
    return MintingOrder(
        identity=somebody,
        decision=decide([rule(dn=dn)], somebody),
        session=session,
        profile=wanted,
        fqans=fqans or {},
        **fields,
    )
