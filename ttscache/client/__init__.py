"""The daemon's client: small, typed, synchronous, on the standard library alone."""

from ttscache.client.bearer import TokenSourceError, discover_token, read_token_file
from ttscache.client.http import Client, ClientError, IdToken, Proxy

__all__ = ["Client", "ClientError", "IdToken", "Proxy", "TokenSourceError", "discover_token", "read_token_file"]
