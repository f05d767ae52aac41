"""Who presents a token."""
