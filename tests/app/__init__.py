"""Tests of ttscache.app."""
