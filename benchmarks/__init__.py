"""Ratios against bare baselines, each pair measured in one run: `python -m benchmarks`."""
