"""The version, in one place: the package, its outputs and its wheel take it from here."""

__version__ = "0.1.0"
