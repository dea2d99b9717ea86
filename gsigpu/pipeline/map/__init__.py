"""`gsigpu map`."""
