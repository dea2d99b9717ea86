// Voxels of planes by their indices. NumPy twin: gsigpu/backends/cpu.py.
//
//     to[i] = planes[s][indices[i] - origin]   for starts[s] <= i < starts[s + 1]
//
// Layout      planes (S, ...) int16, `stride` values from a plane to the next; starts (S + 1,) int64; indices (M,) int32 of
//             voxels in a whole plane, `origin` of which come before the first value that is here; to (M,) int16.
// Indexing    blockIdx.y is the plane s; a thread takes every gridDim.x * blockDim.x-th of its voxels. Neighbouring threads
//             write neighbouring values, and read what lies side by side in a row of the image.
// Boundary    a plane without voxels writes nothing; every index lies within what is here, which the host has made sure of.

extern "C" __global__ void gather_voxels(
    const short *__restrict__ planes, const long long *__restrict__ starts, const int *__restrict__ indices,
    short *__restrict__ to, long long stride, long long origin)
{
    const unsigned s = blockIdx.y;
    const short *const plane = planes + (long long)s * stride - origin;
    const long long n_threads = (long long)gridDim.x * blockDim.x, end = starts[s + 1];
    for (long long i = starts[s] + (long long)blockIdx.x * blockDim.x + threadIdx.x; i < end; i += n_threads)
        to[i] = plane[indices[i]];
}
