"""Records with a time to live, compare-and-set, and leases. Knows nothing of what the records mean."""
