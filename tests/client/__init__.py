"""Tests of ttscache.client."""
