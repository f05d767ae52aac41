"""Sessions, credentials and what is published, with a real IAM."""
