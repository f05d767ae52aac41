"""What workloads tell of themselves, in the words of Prometheus."""
