"""The HTTP edge: routes, one module per audience, and the one table that turns errors into answers."""
