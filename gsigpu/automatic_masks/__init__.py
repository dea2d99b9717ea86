"""Masks that a program draws on the images of a study: how it is called, and where what it made is kept."""
