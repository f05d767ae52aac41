"""Composes the rooms into something that runs."""
