"""The sandbox: an IAM, a CA and the daemon on loopback."""
