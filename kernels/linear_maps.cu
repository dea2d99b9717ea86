// K linear maps of a slab of stored values, in one pass. NumPy twin: gsigpu/backends/cpu.py.
//
//     out[s][k][i] = sum_e weights[k][e] * stored[s][e][i] + offsets[k]
//
// Layout      stored (S, E, N) int16, out (S, n_maps, N), C order. One launch makes N_MAPS of the maps, from first_map
//             on, for a run of S slices that share their tables.
// Tables      weights, offsets and padding come by value, as a parameter of the launch: they lie in the constant
//             bank, where an instruction reads them as an operand. In registers they would cost 48 for four maps
//             of eleven energies.
// Indexing    blockIdx.y is the slice s; the x grid strides over groups of 8 voxels i of that slice.
// Boundary    the last group may be partial. Where N is no multiple of 8, rows are not aligned to 16
//             bytes, and the host compiles with VECTOR 0: the same groups, loaded one by one.
// Padding     a closed range of stored values per energy, as its middle and half its width (negative: none):
//             half - |x - middle| >= 0 inside. A voxel in the range of any energy is NaN, or PADDING in integer maps.
// Integers    rounded half to even, clipped to +-32767 and counted in n_clipped[k].
//
// Compile-time: N_MAPS (1-8), N_ENERGIES (E), QUANTISED (1: int16 out), HAS_PADDING, VECTOR.
// Traffic per voxel is 2 E bytes in and 4 K (QUANTISED: 2 K) out. All loads of up to LOADS energies are issued
// before the first value is used. Conversions are done with the bits of a float's mantissa, in the pipe that adds and
// multiplies: the converting instructions run at a quarter of its rate and less.

#define VOXELS 8
#define PADDING -32768.0f
#define LARGEST_STORED 32767.0f
#define FIRST_CLIPPED 32767.5f  // rounds to 32768

// Two blocks of 256 threads leave 128 registers: eleven loads of 16 bytes in flight per thread (90 KiB per
// multiprocessor), the sums of four maps, and no spill. Three blocks (80 registers) spill with all loads first.
#if N_MAPS * N_ENERGIES <= 8
#define LEAST_BLOCKS 4
#else
#define LEAST_BLOCKS 2
#endif
#if N_MAPS <= 4
#define LOADS 12
#else
#define LOADS 6
#endif

struct alignas(16) Words4 { unsigned w[4]; };
struct alignas(16) Float4 { float v[4]; };

struct Tables {
    float weights[N_MAPS][N_ENERGIES];
    float offsets[N_MAPS];
#if HAS_PADDING
    float middles[N_ENERGIES];
    float halves[N_ENERGIES];
#endif
};

#if QUANTISED
typedef short Out;
#else
typedef float Out;
#endif

// Two stored values per word, the first in the low half; what lies behind the end is 0.
__device__ __forceinline__ Words4 load(const short *from, int n) {
#if VECTOR
    return *reinterpret_cast<const Words4 *>(from);
#else
    Words4 words;
#pragma unroll
    for (int j = 0; j < VOXELS; j += 2) {
        const unsigned low = j < n ? (unsigned short)from[j] : 0u;
        const unsigned high = j + 1 < n ? (unsigned short)from[j + 1] : 0u;
        words.w[j / 2] = low | high << 16;
    }
    return words;
#endif
}

// int16 -> float, exact: x + 32768 in the mantissa of 2^23, less 2^23 + 32768.
__device__ __forceinline__ float low_value(unsigned flipped, unsigned two_to_23) {
    return __int_as_float((int)__byte_perm(flipped, two_to_23, 0x7610)) - 8421376.0f;
}
__device__ __forceinline__ float high_value(unsigned flipped, unsigned two_to_23) {
    return __int_as_float((int)__byte_perm(flipped, two_to_23, 0x7632)) - 8421376.0f;
}

// float in -32768 .. 32767 -> int16 in the low half of a word, half to even: the sum's mantissa is the integer.
__device__ __forceinline__ unsigned rounded_bits(float value) {
    return (unsigned)__float_as_int(value + 12582912.0f);  // 1.5 * 2^23
}

__device__ __forceinline__ void store(Out *to, int n, const float *v) {
#if QUANTISED
    Words4 words;
#pragma unroll
    for (int j = 0; j < VOXELS; j += 2)
        words.w[j / 2] = __byte_perm(rounded_bits(v[j]), rounded_bits(v[j + 1]), 0x5410);
#if VECTOR
    *reinterpret_cast<Words4 *>(to) = words;
#else
#pragma unroll
    for (int j = 0; j < VOXELS; ++j)
        if (j < n) to[j] = (short)(unsigned short)(words.w[j / 2] >> (j % 2 * 16));
#endif
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

extern "C" __global__ void __launch_bounds__(256, LEAST_BLOCKS) linear_maps(
    const short *__restrict__ stored, Out *__restrict__ out,
    unsigned long long *__restrict__ n_clipped, long long n_voxels, int n_maps, int first_map,
    const Tables tables)
{
    const long long s = blockIdx.y;
    const short *slice = stored + s * N_ENERGIES * n_voxels;
    Out *maps = out + (s * n_maps + first_map) * n_voxels;
    const long long n_groups = (n_voxels + VOXELS - 1) / VOXELS;
    const unsigned never = (unsigned)n_maps >> 31;  // 0, as the compiler cannot know
    const long long stride = (long long)gridDim.x * blockDim.x;

    for (long long g = (long long)blockIdx.x * blockDim.x + threadIdx.x; g < n_groups; g += stride) {
        const long long first = g * VOXELS;
#if VECTOR
        const int n = VOXELS;
#else
        const int n = n_voxels - first < VOXELS ? (int)(n_voxels - first) : VOXELS;
#endif
        float sum[N_MAPS][VOXELS];
#if HAS_PADDING
        float inside[VOXELS];  // how far a value lies inside a padding range, the most over energies
#pragma unroll
        for (int j = 0; j < VOXELS; ++j) inside[j] = -1.0f;
#endif

#pragma unroll
        for (int begin = 0; begin < N_ENERGIES; begin += LOADS) {
            Words4 loaded[LOADS];
#pragma unroll
            for (int e = begin; e < begin + LOADS; ++e)
                if (e < N_ENERGIES) loaded[e - begin] = load(slice + e * n_voxels + first, n);
            // The constant of the conversions takes a bit that is 0 from every load, so that none is
            // converted before all are issued: left alone, the compiler keeps two or three in flight.
            unsigned two_to_23 = never;
#pragma unroll
            for (int e = begin; e < begin + LOADS; ++e)
                if (e < N_ENERGIES) two_to_23 &= loaded[e - begin].w[0];
            two_to_23 |= 0x4B000000u;
#pragma unroll
            for (int e = begin; e < begin + LOADS; ++e) {
                if (e >= N_ENERGIES) break;
                float v[VOXELS];
#pragma unroll
                for (int j = 0; j < VOXELS; j += 2) {
                    const unsigned flipped = loaded[e - begin].w[j / 2] ^ 0x80008000u;
                    v[j] = low_value(flipped, two_to_23);
                    v[j + 1] = high_value(flipped, two_to_23);
                }
#if HAS_PADDING
#pragma unroll
                for (int j = 0; j < VOXELS; ++j)
                    inside[j] = fmaxf(inside[j], tables.halves[e] - fabsf(v[j] - tables.middles[e]));
#endif
#pragma unroll
                for (int k = 0; k < N_MAPS; ++k)
#pragma unroll
                    for (int j = 0; j < VOXELS; ++j)
                        sum[k][j] = tables.weights[k][e] * v[j] + (e ? sum[k][j] : tables.offsets[k]);
            }
        }

#pragma unroll
        for (int k = 0; k < N_MAPS; ++k) {
#if QUANTISED
            float largest = 0.0f;
#pragma unroll
            for (int j = 0; j < VOXELS; ++j) largest = fmaxf(largest, fabsf(sum[k][j]));
            if (largest >= FIRST_CLIPPED) {  // rare
                unsigned clipped = 0;
#pragma unroll
                for (int j = 0; j < VOXELS; ++j) {
                    bool counts = j < n && fabsf(sum[k][j]) >= FIRST_CLIPPED;
#if HAS_PADDING
                    counts = counts && inside[j] < 0.0f;
#endif
                    clipped += counts;
                    sum[k][j] = fminf(fmaxf(sum[k][j], -LARGEST_STORED), LARGEST_STORED);
                }
                if (clipped) atomicAdd(n_clipped + first_map + k, (unsigned long long)clipped);
            }
#endif
#if HAS_PADDING
#pragma unroll
            for (int j = 0; j < VOXELS; ++j)
                sum[k][j] = inside[j] >= 0.0f ? (QUANTISED ? PADDING : __int_as_float(0x7fc00000)) : sum[k][j];
#endif
            store(maps + k * n_voxels + first, n, sum[k]);
        }
    }
}
