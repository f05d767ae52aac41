"""The local CA."""
