"""Real grid software, driven with what we mint."""
