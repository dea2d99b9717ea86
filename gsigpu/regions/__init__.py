"""Regions of a lesion and its surroundings, and their statistics: pure functions on arrays."""
