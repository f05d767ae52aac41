"""Ratios against bare baselines and other makers, each pair measured in one run: `python -m benchmarks`."""
