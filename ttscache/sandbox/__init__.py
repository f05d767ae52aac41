"""Everything on loopback, for trying and testing: never part of a production daemon."""
