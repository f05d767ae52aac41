"""Bounded fetches and circuits."""
