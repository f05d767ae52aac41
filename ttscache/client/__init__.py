"""The daemon's client: small, typed, synchronous, on the standard library alone."""

from ttscache.client.admin import AdminClient
from ttscache.client.bearer import TokenSourceError, discover_token, read_token_file
from ttscache.client.errors import ClientError
from ttscache.client.http import Client, IssuedToken, Proxy
from ttscache.client.transport import ClientCertificate

__all__ = [
    "AdminClient",
    "Client",
    "ClientCertificate",
    "ClientError",
    "IssuedToken",
    "Proxy",
    "TokenSourceError",
    "discover_token",
    "read_token_file",
]
