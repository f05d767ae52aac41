"""Tests of ttscache.cli."""
