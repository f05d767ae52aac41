"""The command line: thin, one module per group of commands."""

from ttscache.cli.main import main

__all__ = ["main"]
