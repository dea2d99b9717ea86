"""`gsigpu cohort init`."""
