// A map in colour over an image, the compiled twin of gsigpu.dicom.writing.overlay.in_numpy.
//
//     out[y, x] = the first three bytes of table[256 entry + grey]
//     entry = level(value), 256 where there is no value, or no tissue below it;  grey = level(hu)
//     level(v) = v scale + offset within 0 … 255, cut to an integer; 0 for NaN
//
// Product and sum are rounded each, as NumPy rounds them: pictures are the same to the bit. No state, no allocation, no
// Python: it is called without the GIL, by several threads.

#include <stdint.h>
#include <string.h>

#include "same_bits.h"

#ifndef __clang__
#pragma GCC optimize("O3")
#endif

namespace {

constexpr int64_t BLOCK = 512;  // so many indices stay in the first cache

struct Levels {
    float scale, offset;
};

INLINE uint32_t level_of(const Levels &levels, float value) {
    float level = value * levels.scale;
    level = level + levels.offset;
    level = level > 0.0f ? level : 0.0f;  // NaN too
    return uint32_t(int32_t(level < 255.0f ? level : 255.0f));
}

struct Job {
    const float *hu, *values;
    const uint8_t *table;
    uint8_t *out;
    int64_t rows, columns, row_bytes;
    Levels colour, grey;
    float least_hu;
    uint32_t covers_all;
};

INLINE void run(const Job &job) {
    uint32_t index[BLOCK];
    uint8_t *out = job.out;
    for (int64_t y = 0; y < job.rows; ++y, out += job.row_bytes) {
        for (int64_t first = 0; first < job.columns; first += BLOCK) {
            const int64_t n = job.columns - first < BLOCK ? job.columns - first : BLOCK;
            const float *v = job.values + y * job.columns + first, *below = job.hu + y * job.columns + first;
            for (int64_t i = 0; i < n; ++i) {
                const uint32_t hidden = (v[i] != v[i]) | !(job.covers_all | (below[i] > job.least_hu));
                const uint32_t entry = (level_of(job.colour, v[i]) & (hidden - 1)) | (hidden << 8);  // 256 where hidden
                index[i] = entry << 8 | level_of(job.grey, below[i]);
            }
            uint8_t *to = out + 3 * first;
            // Four bytes at once; the fourth is the next pixel's, written next. The last pixel of a row has no next.
            const int64_t n_wide = first + n < job.columns ? n : n - 1;
            for (int64_t i = 0; i < n_wide; ++i) memcpy(to + 3 * i, job.table + 4 * index[i], 4);
            if (n_wide < n) memcpy(to + 3 * n_wide, job.table + 4 * index[n_wide], 3);
        }
    }
}

void run_plain(const Job &job) { run(job); }
#if defined(__x86_64__)
__attribute__((target("avx2"))) void run_avx2(const Job &job) { run(job); }
#endif

}  // namespace

extern "C" {

// set : the number of the set of instructions, as in linear_maps.cpp; all give the same bits
// hu and values (rows, columns) float, table (257 * 256, 4) bytes, out: rows of `columns` pixels of three bytes, a row
// every `row_bytes`. lines: scale and offset of the map's levels, then of the greys. Tissue is above `least_hu`; the map
// covers all where `covers_all`.
void gsigpu_overlay(int set, const float *hu, const float *values, const uint8_t *table, uint8_t *out, int64_t rows,
                    int64_t columns, int64_t row_bytes, const float *lines, float least_hu, int covers_all) {
    const Job job = {hu, values, table, out, rows, columns, row_bytes, {lines[0], lines[1]}, {lines[2], lines[3]},
                     least_hu, uint32_t(covers_all != 0)};
#if defined(__x86_64__)
    if (set && __builtin_cpu_supports("avx2")) return run_avx2(job);
#endif
    (void)set;
    run_plain(job);
}

}  // extern "C"
