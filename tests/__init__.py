"""The tests, with the tools that they share."""
