"""Being a client of token endpoints."""
