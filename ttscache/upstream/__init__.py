"""Being a client of others: token endpoints."""
