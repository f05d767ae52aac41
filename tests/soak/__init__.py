"""A soak: two replicas under load and a seeded schedule of faults, watched for every promise of theirs."""
