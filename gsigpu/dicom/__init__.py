"""The DICOM edge: reading headers, classifying series, pixel data, writing."""
