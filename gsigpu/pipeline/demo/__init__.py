"""`gsigpu demo`."""
