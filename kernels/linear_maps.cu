// K linear maps of a slab of stored values, in one pass. NumPy twin: gsigpu/backends/cpu.py.
//
//     out[s][k][i] = sum_e weights[s][k][e] * stored[s][e][i] + offsets[s][k]
//
// Layout      stored (S, E, N) int16, weights (S, K, E) float, offsets (S, K) float,
//             padding (S, E, 2) int16 closed ranges (low > high: none), out (S, K, N), all C order.
//             One launch makes N_MAPS of the K maps, from first_map on.
// Indexing    blockIdx.y is the slice s; the x grid strides over groups of 8 voxels i of that slice.
// Boundary    the last group may be partial. Where N is no multiple of 8, rows are not aligned to 16
//             bytes, and the host compiles with VECTOR 0: the same groups, loaded one by one.
// Padding     a voxel in the range of any energy is NaN, or PADDING in integer maps.
// Integers    rounded half to even, clipped to +-32767 and counted in n_clipped[k].
//
// Compile-time: N_MAPS (1-8), N_ENERGIES (E), QUANTISED (1: int16 out), HAS_PADDING, VECTOR.
// Traffic per voxel is 2 E bytes in and 4 K (QUANTISED: 2 K) out; the weights of a slice stay in
// cache. The accumulators, 8 N_MAPS floats, stay in registers.

#define VOXELS 8
#define PADDING -32768
#define LARGEST_STORED 32767.0f

struct alignas(16) Stored8 { short v[VOXELS]; };
struct alignas(16) Float4 { float v[4]; };

#if QUANTISED
typedef short Out;
#else
typedef float Out;
#endif

__device__ __forceinline__ void load(const short *from, int n, short *v) {
#if VECTOR
    const Stored8 whole = *reinterpret_cast<const Stored8 *>(from);
#pragma unroll
    for (int j = 0; j < VOXELS; ++j) v[j] = whole.v[j];
#else
#pragma unroll
    for (int j = 0; j < VOXELS; ++j) v[j] = j < n ? from[j] : (short)0;
#endif
}

__device__ __forceinline__ void store(Out *to, int n, const Out *v) {
#if VECTOR && QUANTISED
    Stored8 whole;
#pragma unroll
    for (int j = 0; j < VOXELS; ++j) whole.v[j] = v[j];
    *reinterpret_cast<Stored8 *>(to) = whole;
#elif VECTOR
#pragma unroll
    for (int half = 0; half < 2; ++half) {
        Float4 four;
#pragma unroll
        for (int j = 0; j < 4; ++j) four.v[j] = v[4 * half + j];
        reinterpret_cast<Float4 *>(to)[half] = four;
    }
#else
#pragma unroll
    for (int j = 0; j < VOXELS; ++j)
        if (j < n) to[j] = v[j];
#endif
}

extern "C" __global__ void linear_maps(
    const short *__restrict__ stored, const float *__restrict__ weights,
    const float *__restrict__ offsets, const short *__restrict__ padding,
    Out *__restrict__ out, unsigned long long *__restrict__ n_clipped, long long n_voxels,
    int n_maps, int first_map)
{
    const long long s = blockIdx.y;
    const short *slice = stored + s * N_ENERGIES * n_voxels;
    const long long row = s * n_maps + first_map;
    const float *w = weights + row * N_ENERGIES;
    const float *b = offsets + row;
    Out *maps = out + row * n_voxels;
    const long long n_groups = (n_voxels + VOXELS - 1) / VOXELS;
    const long long stride = (long long)gridDim.x * blockDim.x;

    for (long long g = (long long)blockIdx.x * blockDim.x + threadIdx.x; g < n_groups; g += stride) {
        const long long first = g * VOXELS;
        const int n = n_voxels - first < VOXELS ? (int)(n_voxels - first) : VOXELS;
        float sum[N_MAPS][VOXELS];
#pragma unroll
        for (int k = 0; k < N_MAPS; ++k)
#pragma unroll
            for (int j = 0; j < VOXELS; ++j) sum[k][j] = b[k];
        unsigned padded = 0;  // one bit per voxel

#pragma unroll
        for (int e = 0; e < N_ENERGIES; ++e) {
            short v[VOXELS];
            load(slice + e * n_voxels + first, n, v);
#if HAS_PADDING
            const short low = padding[(s * N_ENERGIES + e) * 2];
            const short high = padding[(s * N_ENERGIES + e) * 2 + 1];
#pragma unroll
            for (int j = 0; j < VOXELS; ++j) padded |= (unsigned)(v[j] >= low && v[j] <= high) << j;
#endif
#pragma unroll
            for (int k = 0; k < N_MAPS; ++k) {
                const float weight = w[k * N_ENERGIES + e];
#pragma unroll
                for (int j = 0; j < VOXELS; ++j) sum[k][j] += weight * (float)v[j];
            }
        }

#pragma unroll
        for (int k = 0; k < N_MAPS; ++k) {
            Out result[VOXELS];
#if QUANTISED
            unsigned clipped = 0;
#pragma unroll
            for (int j = 0; j < VOXELS; ++j) {
                const float rounded = rintf(sum[k][j]);
                const float kept = fminf(fmaxf(rounded, -LARGEST_STORED), LARGEST_STORED);
                const bool is_padded = padded >> j & 1u;
                clipped += j < n && !is_padded && kept != rounded;
                result[j] = is_padded ? (Out)PADDING : (Out)kept;
            }
            if (clipped) atomicAdd(n_clipped + first_map + k, (unsigned long long)clipped);
#else
#pragma unroll
            for (int j = 0; j < VOXELS; ++j)
                result[j] = padded >> j & 1u ? __int_as_float(0x7fc00000) : sum[k][j];
#endif
            store(maps + k * n_voxels + first, n, result);
        }
    }
}
