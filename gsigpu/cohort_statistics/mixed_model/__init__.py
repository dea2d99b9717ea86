"""Means of groups when lesions of one patient resemble each other.

random_intercept    the model, fitted by REML
between_patients    tests of its means that hold when the groups' variances differ
"""
