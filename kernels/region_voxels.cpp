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

// Calls `at(x)` for each voxel of a row, in their order.
template <typename At>
INLINE void each(const uint8_t *row, int64_t n, At at) {
    for (int64_t x = 0; x < n; x += 8) {
        uint64_t word = word_at(row, x, n);
        if (word == ONES) {
            for (int i = 0; i < 8; ++i) at(x + i);
            continue;
        }
        for (; word; word &= word - 1) at(x + (__builtin_ctzll(word) >> 3));
    }
}

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

// counts: as before; plane (rows, n_columns) bytes of 0, of which as many are left; column_of (rows, n_columns), overwritten.
// The regions lie within slices and planes.
// indices: of the voxels of any region in their plane, slice by slice; sizes (n_slices): how many in each.
// columns: of each region's voxels among those, one region after the other.
void gsigpu_region_columns(const int64_t *regions, int64_t n_regions, const int64_t *counts, int64_t n_slices,
                           int64_t n_columns, uint8_t *plane, int64_t *column_of, int64_t *indices, int64_t *sizes,
                           int64_t *columns, int64_t *cursors) {
    const int64_t *of_region = counts;
    int64_t n_before = 0;
    for (int64_t r = 0; r < n_regions; ++r) {
        cursors[2 * r] = n_before;              // where its next column goes
        cursors[2 * r + 1] = of_region - counts;  // where the counts of its slices are
        for (int64_t z = 0; z < regions[9 * r + 6]; ++z) n_before += *of_region++;
    }
    int64_t n = 0;
    for (int64_t z = 0; z < n_slices; ++z) {
        int64_t low_y = INT64_MAX, high_y = 0, low_x = INT64_MAX, high_x = 0;
        for (int64_t r = 0; r < n_regions; ++r) {
            const Region region = region_of(regions + 9 * r);
            const int64_t local = z - region.z;
            if (local < 0 || local >= region.n_z || !counts[cursors[2 * r + 1] + local]) continue;
            low_y = region.y < low_y ? region.y : low_y;
            low_x = region.x < low_x ? region.x : low_x;
            high_y = region.y + region.n_y > high_y ? region.y + region.n_y : high_y;
            high_x = region.x + region.n_x > high_x ? region.x + region.n_x : high_x;
            for (int64_t y = 0; y < region.n_y; ++y) {
                const uint8_t *row = region.row(local, y);
                uint8_t *to = plane + (region.y + y) * n_columns + region.x;
                for (int64_t x = 0; x < region.n_x; x += 8)
                    if (const uint64_t word = word_at(row, x, region.n_x)) {
                        const uint64_t both = word | word_at(to, x, region.n_x);
                        memcpy(to + x, &both, size_t(region.n_x - x < 8 ? region.n_x - x : 8));
                    }
            }
        }
        const int64_t first = n;
        for (int64_t y = low_y; y < high_y; ++y) {
            const int64_t begin = y * n_columns + low_x;
            each(plane + begin, high_x - low_x, [&](int64_t x) {
                column_of[begin + x] = n;
                indices[n++] = begin + x;
            });
            memset(plane + begin, 0, size_t(high_x - low_x));
        }
        sizes[z] = n - first;
        for (int64_t r = 0; r < n_regions && n > first; ++r) {
            const Region region = region_of(regions + 9 * r);
            const int64_t local = z - region.z;
            if (local < 0 || local >= region.n_z || !counts[cursors[2 * r + 1] + local]) continue;
            int64_t *to = columns + cursors[2 * r];
            for (int64_t y = 0; y < region.n_y; ++y) {
                const int64_t *from = column_of + (region.y + y) * n_columns + region.x;
                each(region.row(local, y), region.n_x, [&](int64_t x) { *to++ = from[x]; });
            }
            cursors[2 * r] = to - columns;
        }
    }
}

}  // extern "C"
