"""Tests of ttscache.sidecar."""
