"""Spectral CT slope (λHU) and iodine maps of the liver, from the DICOM files."""

__version__ = "0.1.0"
