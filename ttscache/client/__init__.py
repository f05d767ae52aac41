"""The daemon's client: small, typed, synchronous, on the standard library alone."""

from ttscache.client.bearer import TokenSourceError, discover_token, read_token_file
from ttscache.client.http import Client, ClientError, Proxy

__all__ = ["Client", "ClientError", "Proxy", "TokenSourceError", "discover_token", "read_token_file"]
