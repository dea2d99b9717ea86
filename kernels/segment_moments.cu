// Sums of powers of the values of many segments, in float64. NumPy twin: gsigpu/backends/cpu.py.
//
//     sums[p][s][lane][j] = sum of (x - centres[p][s])^j over the values x of a lane that are no NaN, j = 0 ... ORDER
//
// Layout      values (P, N) float32; starts (S + 1,) int64, segment s of every row is [starts[s], starts[s + 1]);
//             centres (P, S) float64; sums (P, S, lanes, ORDER + 1) float64, all C order.
// Indexing    blockIdx.x is the segment s, blockIdx.y the row p; threadIdx.x is the lane, which takes every
//             blockDim.x-th value from its own on. The grid does not depend on the card: what is added to what, and
//             in which order, is the same everywhere. The host adds the lanes.
// Boundary    an empty segment gives zeros.
//
// Compile-time: ORDER (1-4). Neighbouring lanes read neighbouring values.

extern "C" __global__ void segment_moments(
    const float *__restrict__ values, const long long *__restrict__ starts, const double *__restrict__ centres,
    double *__restrict__ sums, long long n_values)
{
    const unsigned n_segments = gridDim.x, lanes = blockDim.x;
    const unsigned s = blockIdx.x, p = blockIdx.y, lane = threadIdx.x;
    const float *const row = values + (long long)p * n_values;
    const long long segment = (long long)p * n_segments + s;
    const double centre = centres[segment];
    double sum[ORDER + 1] = {};
    for (long long i = starts[s] + lane; i < starts[s + 1]; i += lanes) {
        const float x = row[i];
        if (x == x) {  // no NaN
            const double d = (double)x - centre;
            double power = 1.0;
#pragma unroll
            for (int j = 0; j <= ORDER; ++j) {
                sum[j] += power;
                power *= d;
            }
        }
    }
    double *const to = sums + (segment * lanes + lane) * (ORDER + 1);
#pragma unroll
    for (int j = 0; j <= ORDER; ++j) to[j] = sum[j];
}
