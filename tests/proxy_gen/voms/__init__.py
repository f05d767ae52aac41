"""Tests of VOMS attribute certificates."""
