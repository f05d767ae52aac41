"""Which name, account and rights an identity gets, and why. Pure: rules and an identity in, a decision out."""
