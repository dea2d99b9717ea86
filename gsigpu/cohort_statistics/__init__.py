"""Statistics of a cohort: pure functions on arrays and tables, on two tracks.

`paper` repeats the source study: every lesion counts as independent. `recommended` takes patients as the
units. Read in the order of the work:

    sample        cleaning and coding, once for every test; what a row, a lesion, a patient is
    inference     quantiles, p values and notes that all tests share; multiplicity adjusts them
    frames        the columns of every result, beside their meaning
    mixed_model   means of groups when lesions of a patient resemble each other
    groups        differences between groups, effect sizes, power, published tables
    roc           areas, cut-offs, comparisons, combined models
    within        differences inside lesions: regions, phases
readers       agreement of readers

Every number is held to R or to a published table (`tests/golden/`); `design/013` says why each method
was taken, and how often it errs on simulated studies.
"""
