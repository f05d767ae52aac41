"""Bounded fetches that keep deadlines, and circuits around upstreams. Knows nothing of what is fetched."""
