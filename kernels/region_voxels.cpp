// Voxels of the masks of many regions, as columns of the voxels of them all; NumPy twin: gsigpu.regions.region_voxels.
//
// A region is a box on the grid of a study and a byte for each voxel of it, 0 or 1, whose rows lie together. Rows are looked
// at eight bytes at a time: most of what a box holds is either outside the region, or deep inside.
// No state, no allocation, no Python: it is called without the GIL.

#include <stdint.h>
#include <string.h>

#define INLINE static inline __attribute__((always_inline))

namespace {

constexpr uint64_t ONES = 0x0101010101010101;

// Of a region: bytes of the first voxel, apart along z and y; its box.
struct Region {
    const uint8_t *voxels;
    int64_t apart_z, apart_y, z, y, x, n_z, n_y, n_x;

    const uint8_t *row(int64_t local_z, int64_t local_y) const {
        return voxels + local_z * apart_z + local_y * apart_y;
    }
};

INLINE Region region_of(const int64_t *numbers) {
    const int64_t *n = numbers;
    return {(const uint8_t *)(intptr_t)n[0], n[1], n[2], n[3], n[4], n[5], n[6], n[7], n[8]};
}

// Up to eight bytes of a row, the first one lowest; nothing but the lowest bit of a byte counts.
INLINE uint64_t word_at(const uint8_t *row, int64_t x, int64_t n) {
    uint64_t word = 0;
    if (x + 8 <= n) memcpy(&word, row + x, 8);
    else memcpy(&word, row + x, size_t(n - x));
    return word & ONES;
}

INLINE int64_t n_set(uint64_t word) { return int64_t((word * ONES) >> 56); }

// The bytes of a row that begins `shift` columns behind a word, or before it where that is negative; 0 beyond its ends.
INLINE uint64_t word_beside(const uint8_t *row, int64_t shift, int64_t n) {
    if (shift <= 0) return word_at(row, -shift, n);
    uint64_t word = 0;
    memcpy((uint8_t *)&word + shift, row, size_t(n < 8 - shift ? n : 8 - shift));
    return word & ONES;
}

// A row of numbers, one for each byte of a word that is set; returns behind them.
template <typename T>
INLINE T *count_up(T *to, T from, T n) {
    if (n == 8)
        for (int i = 0; i < 8; ++i) to[i] = from + i;
    else
        for (T i = 0; i < n; ++i) to[i] = from + i;
    return to + n;
}

// Of a slice: which voxels lie in any region, and how many before each word of eight of them. Words begin at column 0.
struct Plane {
    uint8_t *in_any;
    int64_t *n_before;
    int64_t n_columns, n_words;

    uint64_t word(int64_t y, int64_t w) const { return word_at(in_any + y * n_columns, 8 * w, n_columns); }

    void add(const Region &region, int64_t local_z) const {
        for (int64_t y = 0; y < region.n_y; ++y) {
            const uint8_t *row = region.row(local_z, y);
            uint8_t *to = in_any + (region.y + y) * n_columns + region.x;
            for (int64_t x = 0; x < region.n_x; x += 8)
                if (const uint64_t word = word_at(row, x, region.n_x)) {
                    const uint64_t both = word | word_at(to, x, region.n_x);
                    memcpy(to + x, &both, size_t(region.n_x - x < 8 ? region.n_x - x : 8));
                }
        }
    }

    // Indices of the voxels of a row; returns how many there are now.
    int64_t number(int64_t y, int64_t first_word, int64_t end_word, int64_t n, int64_t *indices) const {
        for (int64_t w = first_word; w < end_word; ++w) {
            uint64_t all = word(y, w);
            n_before[y * n_words + w] = n;
            const int64_t at = y * n_columns + 8 * w;
            if (all == ONES) n = count_up(indices + n, at, int64_t(8)) - indices;
            else
                for (; all; all &= all - 1) indices[n++] = at + (__builtin_ctzll(all) >> 3);
        }
        return n;
    }

    // The columns of a region's voxels; returns behind them.
    int32_t *columns(const Region &region, int64_t local_z, int32_t *to) const {
        const int64_t first_word = region.x / 8, end_word = (region.x + region.n_x + 7) / 8;
        for (int64_t local_y = 0; local_y < region.n_y; ++local_y) {
            const uint8_t *row = region.row(local_z, local_y);
            const int64_t y = region.y + local_y;
            for (int64_t w = first_word; w < end_word; ++w) {
                uint64_t own = word_beside(row, region.x - 8 * w, region.n_x);
                if (!own) continue;
                const uint64_t all = word(y, w);
                const int32_t before = int32_t(n_before[y * n_words + w]);
                if (own == all) to = count_up(to, before, int32_t(n_set(all)));
                else
                    for (; own; own &= own - 1) *to++ = before + int32_t(n_set(all & ((own & -own) - 1)));
            }
        }
        return to;
    }
};

int64_t n_in_slice(const Region &region, int64_t local_z) {
    int64_t n = 0;
    for (int64_t y = 0; y < region.n_y; ++y) {
        const uint8_t *row = region.row(local_z, y);
        for (int64_t x = 0; x < region.n_x; x += 8) n += n_set(word_at(row, x, region.n_x));
    }
    return n;
}

}  // namespace

extern "C" {

// regions (R, 9), see `Region`; counts: of each region its n_z slices' voxels, one region after the other.
void gsigpu_region_counts(const int64_t *regions, int64_t n_regions, int64_t *counts) {
    for (int64_t r = 0; r < n_regions; ++r) {
        const Region region = region_of(regions + 9 * r);
        for (int64_t z = 0; z < region.n_z; ++z) *counts++ = n_in_slice(region, z);
    }
}

// counts: as before; in_any (rows, n_columns) bytes of 0, of which as many are left; n_before (rows, words of eight columns),
// overwritten. The regions lie within slices and planes.
// indices: of the voxels of any region in their plane, slice by slice; sizes (n_slices): how many in each.
// columns: of each region's voxels among those, which an int32 counts, one region after the other; cursors (R, 2), overwritten.
void gsigpu_region_columns(const int64_t *regions, int64_t n_regions, const int64_t *counts, int64_t n_slices,
                           int64_t n_columns, uint8_t *in_any, int64_t *n_before, int64_t *indices, int64_t *sizes,
                           int32_t *columns, int64_t *cursors) {
    const Plane plane = {in_any, n_before, n_columns, (n_columns + 7) / 8};
    int64_t n_of_regions = 0, n_counts = 0;
    for (int64_t r = 0; r < n_regions; ++r) {
        cursors[2 * r] = n_of_regions;  // where its next column goes
        cursors[2 * r + 1] = n_counts;  // where the counts of its slices are
        for (int64_t z = 0; z < regions[9 * r + 6]; ++z) n_of_regions += counts[n_counts++];
    }
    int64_t n = 0;
    for (int64_t z = 0; z < n_slices; ++z) {
        int64_t low_y = INT64_MAX, high_y = 0, low_x = INT64_MAX, high_x = 0;
        const auto is_in = [&](const Region &region, int64_t r) {
            const int64_t local = z - region.z;
            return local >= 0 && local < region.n_z && counts[cursors[2 * r + 1] + local] > 0;
        };
        for (int64_t r = 0; r < n_regions; ++r) {
            const Region region = region_of(regions + 9 * r);
            if (!is_in(region, r)) continue;
            low_y = region.y < low_y ? region.y : low_y;
            low_x = region.x < low_x ? region.x : low_x;
            high_y = region.y + region.n_y > high_y ? region.y + region.n_y : high_y;
            high_x = region.x + region.n_x > high_x ? region.x + region.n_x : high_x;
            plane.add(region, z - region.z);
        }
        const int64_t first = n;
        for (int64_t y = low_y; y < high_y; ++y) n = plane.number(y, low_x / 8, (high_x + 7) / 8, n, indices);
        sizes[z] = n - first;
        for (int64_t r = 0; r < n_regions && n > first; ++r) {
            const Region region = region_of(regions + 9 * r);
            if (is_in(region, r))
                cursors[2 * r] = plane.columns(region, z - region.z, columns + cursors[2 * r]) - columns;
        }
        for (int64_t y = low_y; y < high_y; ++y) memset(in_any + y * n_columns + low_x, 0, size_t(high_x - low_x));
    }
}

}  // extern "C"
