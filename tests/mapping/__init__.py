"""Which name an identity gets."""
