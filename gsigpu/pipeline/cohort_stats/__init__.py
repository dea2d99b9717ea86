"""`gsigpu cohort stats`."""
