"""From the headers of a folder to series, phases, grids and the spectral stack."""
