// Squared distances to the nearest background along one axis, in float64. CPU twin: gsigpu/backends/cpu.py (SciPy).
//
//     to[i] = min over k of from[j] + (k step)^2, j the voxel k places before or behind i on its line
//
// Layout      from, to (..., length, ...) float64, C order, `stride` voxels from a place on a line to the next; not the same
//             array. One launch for each axis: the first one begins with 0 on the background, infinity elsewhere.
// Indexing    a thread takes every gridDim.x * blockDim.x-th voxel, and searches from it outwards until nothing farther can
//             be nearer: what it costs is the distance, not the length of the line.
// Boundary    what lies beyond the array is no background; a line without any gives infinity.
//
// Law: separable, because squares of distances add up (Saito and Toriwaki, Pattern Recognition 1994;27:1551-1565). With
// steps that are multiples of 2^-18 mm every square and every sum is exact below 362 mm, so that neither the order nor a
// fused multiply-add changes a bit.

extern "C" __global__ void distance_transform(
    const double *__restrict__ from, double *__restrict__ to, long long n_voxels, long long length,
    long long stride, double step)
{
    const long long n_threads = (long long)gridDim.x * blockDim.x;
    for (long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x; i < n_voxels; i += n_threads) {
        const long long place = i / stride % length;
        double best = from[i];
        for (long long k = 1; k < length; ++k) {
            const double across = (double)k * step, squared = across * across;
            if (squared >= best) break;
            if (k <= place) {
                const double before = from[i - k * stride] + squared;
                best = before < best ? before : best;
            }
            if (k < length - place) {
                const double behind = from[i + k * stride] + squared;
                best = behind < best ? behind : best;
            }
        }
        to[i] = best;
    }
}
