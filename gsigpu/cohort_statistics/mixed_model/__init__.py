"""Means of groups when lesions of one patient resemble each other.

random_intercept    the model, fitted by REML
between_patients    tests of its means that hold when the groups' variances differ
nested_intercepts   the model with lesions inside patients and any design
cluster_robust      tests of its coefficients that hold whatever the covariance inside a patient
"""
