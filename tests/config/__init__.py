"""Tests of ttscache.config."""
