"""ROC curves of pairs of groups.

roc_settings      what is declared beforehand: direction, confidence, replicates
curve             the empirical curve, its area, placements, Youden's cut-off
area_estimate     interval and test of an area from its variance
delong            variance where lesions are independent
clustered         variance where patients contribute several lesions; clustered_rate: of shares
bootstrap         of whole patients
roc_frames        one phase, region and parameter as frames on both tracks
comparisons       two parameters of the same lesions
combined_models   several parameters together, cross-validated
decisions         what a cut-off does: cross table, predictive values, likelihood ratios
decision_curve    net benefit of acting on a probability
multiclass        one group against the rest, Hand and Till's area
equivalence       two parameters within a margin
binormal          the area from n, mean and SD alone
"""
