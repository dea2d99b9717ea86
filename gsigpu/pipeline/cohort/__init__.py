"""A cohort run: every case by itself, restartable, on one machine or a cluster."""
