"""Agreement of readers.

intraclass      six forms of the intraclass correlation
bland_altman    limits of agreement
all_ratings     the intraclass correlation from lesions that some readers did not measure too
agreement       these as frames on both tracks
kappa           whether readers decide alike at a cut-off
multireader     two parameters' areas over readers who drew their own masks
sample_size     lesions and patients that a planned study needs
"""
