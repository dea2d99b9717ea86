"""The report of a cohort: figures, tables and one HTML file."""
