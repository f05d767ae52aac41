"""What is promised when things go wrong, provoked with the real thing."""
