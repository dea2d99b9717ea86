"""`gsigpu review`."""
