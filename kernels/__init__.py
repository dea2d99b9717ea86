"""CUDA and C++ sources, shipped as the package gsigpu.kernels (design/003-kernels-packaging.md, design/020-speed.md)."""
