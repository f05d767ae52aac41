"""`POST /iam/proxycert`: a proxy of the certificate that a user has linked, as IAM gives it out."""

from datetime import UTC, datetime, timedelta

from proxy_gen.credential import Credential
from proxy_gen.keys import KeyKind, generate_key
from proxy_gen.names import DistinguishedName
from proxy_gen.proxy import issue_proxy
from ttscache.sandbox.iam.bearer import bearer
from ttscache.sandbox.iam.errors import OAuthError, insufficient_scope, invalid_request
from ttscache.sandbox.iam.messages import NO_STORE, Call, Reply
from ttscache.sandbox.iam.realm import Realm
from ttscache.sandbox.iam.state import Account

SCOPE = "proxy:generate"
LEAST_SECONDS, MOST_SECONDS = 120, 43200


class ManagedProxies:
    """The endpoint, over what `IamState.link` has given users."""

    def __init__(self, realm: Realm) -> None:
        self._realm = realm

    def generate(self, call: Call) -> Reply:
        """Answer with a proxy, its key and its end entity's certificate, all in `certificate_chain`."""
        account = self._account(call)
        seconds = _lifetime(call.value("lifetimeSecs"))
        linked = account.linked
        now = datetime.fromtimestamp(self._realm.now(), UTC)
        if linked is None or linked.leaf.not_valid_after_utc <= now:
            raise OAuthError(412, "precondition_failed", "No proxy certificate found for the user")
        wanted_issuer = call.value("issuer")
        issuer = DistinguishedName(linked.chain[-1].issuer)
        if wanted_issuer and wanted_issuer != issuer.rfc4514:
            raise OAuthError(412, "precondition_failed", "No proxy certificate found for the user and this issuer")
        return Reply(_document(linked, now, seconds), headers=NO_STORE)

    def _account(self, call: Call) -> Account:
        record = bearer(call, self._realm)
        account = self._realm.state.account_of(record.grant)
        if account is None or SCOPE not in record.grant.scope:
            raise insufficient_scope()
        return account


def _lifetime(text: str) -> int:
    """Return the lifetime in seconds, the longest where none is asked for."""
    if not text:
        return MOST_SECONDS
    if not text.isascii() or not text.isdigit() or int(text[:10]) < LEAST_SECONDS:
        raise invalid_request(f"lifetimeSecs must be at least {LEAST_SECONDS}")
    return min(int(text[:10]), MOST_SECONDS)


def _document(linked: Credential, now: datetime, seconds: int) -> dict[str, object]:
    if linked.key is None:
        raise TypeError("what is linked has its key")
    key = generate_key(KeyKind.RSA_2048)
    lifetime = timedelta(seconds=seconds)
    proxy = issue_proxy(linked.leaf, linked.key, key.public_key(), now=now, lifetime=lifetime)
    return {
        "subject": DistinguishedName(proxy.subject).rfc4514,
        "issuer": DistinguishedName(linked.chain[-1].issuer).rfc4514,
        "identity": DistinguishedName(linked.chain[-1].subject).rfc4514,
        "not_after": f"{proxy.not_valid_after_utc:%Y-%m-%dT%H:%M:%SZ}",
        "certificate_chain": Credential((proxy, *linked.chain), key).to_pem().decode(),
    }
