"""Maps, regions and measurements as DICOM."""
