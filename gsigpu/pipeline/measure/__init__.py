"""`gsigpu measure`."""
