"""`gsigpu cohort run` and `cohort status`."""
