"""Tests of ttscache.server."""
