"""Agreement of readers.

intraclass      six forms of the intraclass correlation
bland_altman    limits of agreement
agreement       both as frames on both tracks
"""
