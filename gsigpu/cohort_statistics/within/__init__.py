"""Differences inside lesions: regions of the same lesion, phases of the same region.

repeated_measures    paired t and repeated-measures ANOVA, as SPSS has them (paper track)
ratio                ratio of two means with Fieller's interval
within_frames        both tracks as one frame; the recommended one is a mixed model with patients and
lesions random and cluster-robust variances (`mixed_model`)
"""
