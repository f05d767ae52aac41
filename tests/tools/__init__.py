"""What several tests need: programs of the machine, servers of our own, credentials."""
