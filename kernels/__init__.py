"""CUDA sources, shipped as the package gsigpu.kernels (see design/003-kernels-packaging.md)."""
