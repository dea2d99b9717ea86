"""Differences between groups.

omnibus, pairwise     the tests, each from what it needs (values, ranks, or n, mean and variance)
studentized_range     quantiles and tails for Games-Howell
effect_sizes          sizes of differences with intervals
group_frames          tests of one phase, region and parameter as frames on both tracks
adjusted              groups with covariates held equal, adjusted areas
clustered_mean        means with intervals that know which lesions share a patient
sensitivity           the primary test under other choices
disagreements         where the tracks decide differently, and why
power                 power of the tests, given the clustering
summary_statistics    the same from a published table of n, mean and SD
"""
