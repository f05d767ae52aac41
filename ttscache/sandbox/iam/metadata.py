"""The discovery document (OpenID Connect Discovery section 3, RFC 8414 section 2)."""

from ttscache.sandbox.iam.clients import ASSERTION_ALGORITHMS, AUTH_METHODS
from ttscache.sandbox.iam.config import USER_SCOPES, GrantType
from ttscache.sandbox.iam.realm import Realm


def discovery(realm: Realm) -> dict[str, object]:
    """Return the metadata; IAM's `issuer` here ends in a slash whatever its tokens say."""
    url = realm.url
    return {
        "issuer": url,
        "authorization_endpoint": f"{url}authorize",
        "token_endpoint": realm.token_endpoint,
        "userinfo_endpoint": f"{url}userinfo",
        "jwks_uri": f"{url}jwk",
        "introspection_endpoint": f"{url}introspect",
        "revocation_endpoint": f"{url}revoke",
        "device_authorization_endpoint": f"{url}devicecode",
        "registration_endpoint": f"{url}iam/api/client-registration",
        "scim_endpoint": f"{url}scim",
        "organisation_name": "sandbox",
        "response_types_supported": ["code", "token"],
        "grant_types_supported": [
            "authorization_code",
            "implicit",
            "urn:ietf:params:oauth:grant-type:device_code",
            *GrantType,
        ],
        "token_endpoint_auth_methods_supported": AUTH_METHODS,
        "token_endpoint_auth_signing_alg_values_supported": ASSERTION_ALGORITHMS,
        "introspection_endpoint_auth_methods_supported": AUTH_METHODS,
        "subject_types_supported": ["public", "pairwise"],
        "id_token_signing_alg_values_supported": realm.config.signing,
        "userinfo_signing_alg_values_supported": realm.config.signing,
        "scopes_supported": USER_SCOPES,
        "claims_supported": ["sub", "name", "preferred_username", "email", "organisation_name", "groups"],
        "code_challenge_methods_supported": ["plain", "S256"],
        "claims_parameter_supported": False,
        "request_parameter_supported": True,
        "request_uri_parameter_supported": False,
        "require_request_uri_registration": False,
        "service_documentation": f"{url}about",
        "op_policy_uri": f"{url}about",
        "op_tos_uri": f"{url}about",
    }
