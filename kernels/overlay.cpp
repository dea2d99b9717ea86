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

#if defined(__clang__)
#pragma clang fp contract(off)
#else
#pragma GCC optimize("O3,fp-contract=off")
#endif

namespace {

constexpr int64_t BLOCK = 512;  // so many indices stay in the first cache

struct Levels {
    float scale, offset;

    uint32_t of(float value) const {
        float level = value * scale;
        level = level + offset;
        level = level > 0.0f ? level : 0.0f;  // NaN too
        return uint32_t(int32_t(level < 255.0f ? level : 255.0f));
    }
};

}  // namespace

extern "C" {

// hu and values (rows, columns) float, table (257 * 256, 4) bytes, out: rows of `columns` pixels of three bytes, a row
// every `row_bytes`. lines: scale and offset of the map's levels, then of the greys. Tissue is above `least_hu`; the map
// covers all where `covers_all`.
void gsigpu_overlay(const float *hu, const float *values, const uint8_t *table, uint8_t *out, int64_t rows,
                    int64_t columns, int64_t row_bytes, const float *lines, float least_hu, int covers_all) {
    const Levels colour = {lines[0], lines[1]}, grey = {lines[2], lines[3]};
    uint32_t index[BLOCK];
    for (int64_t y = 0; y < rows; ++y, out += row_bytes) {
        for (int64_t first = 0; first < columns; first += BLOCK) {
            const int64_t n = columns - first < BLOCK ? columns - first : BLOCK;
            const float *v = values + y * columns + first, *below = hu + y * columns + first;
            for (int64_t i = 0; i < n; ++i) {
                const uint32_t hidden = (v[i] != v[i]) | !(covers_all | (below[i] > least_hu));
                const uint32_t entry = (colour.of(v[i]) & (hidden - 1)) | (hidden << 8);  // 256 where hidden
                index[i] = entry << 8 | grey.of(below[i]);
            }
            uint8_t *to = out + 3 * first;
            // Four bytes at once; the fourth is the next pixel's, written next. The last pixel of a row has no next.
            const int64_t n_wide = first + n < columns ? n : n - 1;
            for (int64_t i = 0; i < n_wide; ++i) memcpy(to + 3 * i, table + 4 * index[i], 4);
            if (n_wide < n) memcpy(to + 3 * n_wide, table + 4 * index[n_wide], 3);
        }
    }
}

}  // extern "C"
