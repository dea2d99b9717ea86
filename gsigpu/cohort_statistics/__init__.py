"""Statistics of a cohort: pure functions on arrays and tables."""
