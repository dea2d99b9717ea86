// K linear maps of stored CT values in one pass, the compiled twin of gsigpu.backends.cpu.
//
//     out[s, k, i] = Σ_e weights[s, k, e] stored[s, e, i] + offsets[s, k]
//
// Layout and rounding as in gsigpu.backends.Backend.linear_maps. Sums run over ascending energies in float32, with
// fused multiply-adds where the set has them. The loop (linear_maps_loop.h) is compiled once per instruction set, and
// the caller picks one of those that the processor has. No state, no allocation, no Python: it is called without the
// GIL, by several threads.

#include <stdint.h>
#include <string.h>

#define SSE2 0
#define AVX2 1
#define AVX512 2
#define NEON 3

#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#else
#error "no vectors for this processor: NumPy computes the maps"
#endif

#define UNROLL _Pragma("GCC unroll 16")

namespace {

constexpr int MOST_ENERGIES = 32;
constexpr int MAPS_AT_ONCE = 4;
constexpr int LARGEST = 32767, PADDING = -32768;

// The closed range of stored values low … low + span, counted modulo 65,536.
struct Range {
    uint16_t low, span;
    bool is_empty;

    bool holds(int16_t value) const { return !is_empty && uint16_t(value - low) <= span; }
};

// How K maps of one slice are made. weights[e * K + k]; ranges is null where no value means "no data".
struct Weights {
    int n_energies;
    const float *weights, *offsets;
    const Range *ranges;
    int64_t *n_clipped;
};

inline bool is_padded(const int16_t *x, int64_t plane, const Weights &by) {
    for (int e = 0; by.ranges && e < by.n_energies; ++e)
        if (by.ranges[e].holds(x[e * plane])) return true;
    return false;
}

inline void finish(float value, bool padded, float &out, int64_t &) { out = padded ? __builtin_nanf("") : value; }

inline void finish(float value, bool padded, int16_t &out, int64_t &n_clipped) {
    if (padded) {
        out = PADDING;
    } else if (value >= LARGEST + 0.5f) {  // rounds to 32768
        out = LARGEST;
        ++n_clipped;
    } else if (!(value > -(LARGEST + 0.5f))) {
        out = -LARGEST;
        ++n_clipped;
    } else {
        const float shift = 12582912.0f;  // 1.5 · 2²³: the sum is rounded to an integer, half to even
        out = int16_t((value + shift) - shift);
    }
}

}  // namespace

// The loop, once per set. A pragma names the instructions that a set may use, so that no flag of the whole file does.
#if defined(__clang__)
#define BEGIN(target_pragma, clang_pragma) _Pragma(clang_pragma)
#define END _Pragma("clang attribute pop")
#else
#define BEGIN(target_pragma, clang_pragma) _Pragma("GCC push_options") _Pragma(target_pragma)
#define END _Pragma("GCC pop_options")
#endif

#if defined(__x86_64__)
#define SET SSE2
#define NAME sse2
#include "linear_maps_loop.h"
#define SET AVX2
#define NAME avx2
BEGIN("GCC target(\"avx2,fma\")", "clang attribute push(__attribute__((target(\"avx2,fma\"))), apply_to = function)")
#include "linear_maps_loop.h"
END
#define SET AVX512
#define NAME avx512
BEGIN("GCC target(\"avx512f,avx512bw,avx512vl,fma\")",
      "clang attribute push(__attribute__((target(\"avx512f,avx512bw,avx512vl,fma\"))), apply_to = function)")
#include "linear_maps_loop.h"
END
#else
#define SET NEON
#define NAME neon
#include "linear_maps_loop.h"
#endif

namespace {

template <typename Out>
void maps_of_slice(int set, int n_maps, const int16_t *x, int64_t plane, int64_t n, const Weights &by, Out *const *out) {
#if defined(__x86_64__)
    if (set == AVX512) avx512::maps(n_maps, x, plane, n, by, out);
    else if (set == AVX2) avx2::maps(n_maps, x, plane, n, by, out);
    else sse2::maps(n_maps, x, plane, n, by, out);
#else
    (void)set;
    neon::maps(n_maps, x, plane, n, by, out);
#endif
}

// Fills `ranges` from pairs (low, high); returns whether any holds a value.
bool any_range(const int16_t *padding, int n_energies, Range *ranges) {
    bool has_any = false;
    for (int e = 0; e < n_energies; ++e) {
        const int low = padding[2 * e], high = padding[2 * e + 1];
        ranges[e] = {uint16_t(low), uint16_t(high - low), low > high};
        has_any |= low <= high;
    }
    return has_any;
}

// One slice, a plane every n_apart values: its maps are made in groups, so that all sums of a block stay in registers.
struct Slice {
    int set;
    const int16_t *stored;
    int n_energies;
    int64_t n_maps, n_voxels, n_apart;

    template <typename Out>
    void compute(const float *weights, const float *offsets, const int16_t *padding, Out *out,
                 int64_t *n_clipped) const {
        Range ranges[MOST_ENERGIES];
        const bool has_padding = padding && any_range(padding, n_energies, ranges);
        float in_order[MOST_ENERGIES * MAPS_AT_ONCE];
        for (int64_t first = 0; first < n_maps; first += MAPS_AT_ONCE) {
            const int n_now = int(n_maps - first < MAPS_AT_ONCE ? n_maps - first : MAPS_AT_ONCE);
            Out *to[MAPS_AT_ONCE];
            for (int k = 0; k < n_now; ++k) {
                to[k] = out + (first + k) * n_voxels;
                for (int e = 0; e < n_energies; ++e)
                    in_order[e * n_now + k] = weights[(first + k) * n_energies + e];
            }
            const Weights by = {n_energies, in_order, offsets + first, has_padding ? ranges : nullptr,
                                n_clipped + first};
            maps_of_slice(set, n_now, stored, n_apart, n_voxels, by, to);
        }
    }
};

}  // namespace

extern "C" {

// Changes with the functions of the library and their arguments, so that one of another version is not called.
int gsigpu_interface() { return 20; }

// Whether the processor, and its operating system, have a set.
int gsigpu_has_set(int set) {
#if defined(__x86_64__)
    if (set == AVX512)
        return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
               __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("fma");
    if (set == AVX2) return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    return set == SSE2;
#else
    return set == NEON;
#endif
}

// stored (S, E, N), weights (S, K, E), offsets (S, K), padding (S, E, 2) or null, out (S, K, N) int16 or float,
// n_clipped (K), added to. Returns 0, or 1 where the arguments are beyond what this loop does.
int gsigpu_linear_maps(int set, const int16_t *stored, const float *weights, const float *offsets,
                       const int16_t *padding, void *out, int quantised, int64_t n_slices, int64_t n_energies,
                       int64_t n_maps, int64_t n_voxels, int64_t *n_clipped) {
    if (!gsigpu_has_set(set) || n_energies < 1 || n_energies > MOST_ENERGIES) return 1;
    for (int64_t s = 0; s < n_slices; ++s) {
        const Slice slice = {set, stored + s * n_energies * n_voxels, int(n_energies), n_maps, n_voxels, n_voxels};
        const int16_t *of_slice = padding ? padding + s * n_energies * 2 : nullptr;
        const float *w = weights + s * n_maps * n_energies, *b = offsets + s * n_maps;
        if (quantised) slice.compute(w, b, of_slice, (int16_t *)out + s * n_maps * n_voxels, n_clipped);
        else slice.compute(w, b, of_slice, (float *)out + s * n_maps * n_voxels, n_clipped);
    }
    return 0;
}

// One slice as integers, a plane every n_apart values; arguments as before.
int gsigpu_maps_of_slice(int set, const int16_t *stored, int64_t n_apart, const float *weights, const float *offsets,
                         const int16_t *padding, int16_t *out, int64_t n_energies, int64_t n_maps, int64_t n_voxels,
                         int64_t *n_clipped) {
    if (!gsigpu_has_set(set) || n_energies < 1 || n_energies > MOST_ENERGIES || n_apart < n_voxels) return 1;
    const Slice slice = {set, stored, int(n_energies), n_maps, n_voxels, n_apart};
    slice.compute(weights, offsets, padding, out, n_clipped);
    return 0;
}

}  // extern "C"
