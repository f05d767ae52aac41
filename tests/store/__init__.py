"""Records, leases and their sealing, the same for every store."""
