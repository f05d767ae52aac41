"""Who calls, for the endpoints that take an access token (RFC 6750)."""

from ttscache.sandbox.iam.errors import bearer_refused, invalid_token
from ttscache.sandbox.iam.messages import Call
from ttscache.sandbox.iam.realm import Realm
from ttscache.sandbox.iam.state import AccessRecord


def bearer(call: Call, realm: Realm) -> AccessRecord:
    """Return what the call's access token stands for; without one or with a bad one it is refused with 401."""
    scheme, _, token = call.authorization.partition(" ")
    if scheme.lower() != "bearer":
        raise bearer_refused(401, "unauthorized", "Full authentication is required to access this resource")
    record = realm.state.live_access(token.strip(), realm.now())
    if record is None:
        raise invalid_token(token.strip())
    return record
