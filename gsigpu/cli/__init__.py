"""The command line: parse, call, print."""

from gsigpu.cli.app import main

__all__ = ["main"]
