"""The hot functions, twice: NumPy on all cores (`cpu`) and CUDA kernels through CuPy (`gpu`).

Both modules export the functions of `Backend` with the same names and signatures. `backend_for`
picks the module that an array belongs to; `choose` picks the one to run a whole job on.
"""
