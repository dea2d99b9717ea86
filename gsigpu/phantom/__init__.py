"""Synthetic spectral studies with known truth."""
