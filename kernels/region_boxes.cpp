// Boxes of what is not 0 in an array, and of each label; NumPy and SciPy twins: gsigpu.regions.region_boxes.
//
// Of a mask nearly all voxels are 0, and those that are not lie in runs. So zeros are passed over in words, and of a box
// that is known already only its outside is looked at.
// No state, no allocation, no Python: it is called without the GIL.

#include <stdint.h>
#include <string.h>

namespace {

inline uint64_t word_at(const uint8_t *from) {
    uint64_t word;
    memcpy(&word, from, 8);
    return word;
}

// Place of the first byte that is not 0, or n.
int64_t first_set(const uint8_t *row, int64_t n) {
    int64_t x = 0;
    for (; x + 32 <= n; x += 32)
        if (word_at(row + x) | word_at(row + x + 8) | word_at(row + x + 16) | word_at(row + x + 24)) break;
    for (; x + 8 <= n && !word_at(row + x); x += 8) {}
    while (x < n && !row[x]) ++x;
    return x;
}

// Behind the last byte that is not 0, or 0.
int64_t end_of_set(const uint8_t *row, int64_t n) {
    int64_t x = n;
    for (; x >= 32; x -= 32)
        if (word_at(row + x - 8) | word_at(row + x - 16) | word_at(row + x - 24) | word_at(row + x - 32)) break;
    for (; x >= 8 && !word_at(row + x - 8); x -= 8) {}
    while (x > 0 && !row[x - 1]) --x;
    return x;
}

// From and to of each axis.
struct Box {
    int64_t z0, z1, y0, y1, x0, x1;

    void add(int64_t z, int64_t y, int64_t begin, int64_t end) {
        z0 = z < z0 ? z : z0;
        z1 = z >= z1 ? z + 1 : z1;
        y0 = y < y0 ? y : y0;
        y1 = y >= y1 ? y + 1 : y1;
        x0 = begin < x0 ? begin : x0;
        x1 = end > x1 ? end : x1;
    }
};

constexpr Box NONE = {INT64_MAX, 0, INT64_MAX, 0, INT64_MAX, 0};

// Where labels of one type lie, runs of equal ones at once; false where one is none of 0 … n_labels.
template <typename Label>
bool add_labels(const uint8_t *from, const int64_t *apart, const int64_t *shape, int64_t n_labels, int64_t *counts,
                Box *boxes) {
    for (int64_t z = 0; z < shape[0]; ++z)
        for (int64_t y = 0; y < shape[1]; ++y) {
            const uint8_t *bytes = from + z * apart[0] + y * apart[1];
            const Label *row = (const Label *)(const void *)bytes;
            const int64_t n = shape[2];
            for (int64_t x = 0; x < n;) {
                if (!row[x]) {
                    x += first_set(bytes + x * int64_t(sizeof(Label)), (n - x) * int64_t(sizeof(Label))) / int64_t(sizeof(Label));
                    continue;
                }
                const Label label = row[x];
                const int64_t begin = x, number = int64_t(label);
                while (x < n && row[x] == label) ++x;
                if (number < 0 || number > n_labels) return false;
                counts[number] += x - begin;
                boxes[number].add(z, y, begin, x);
            }
        }
    return true;
}

}  // namespace

extern "C" {

// bytes: rows of shape[2] bytes, apart[0] and apart[1] from one along z and y to the next; box (6): from and to of z, y and x.
// Returns whether any byte is not 0.
int gsigpu_box_of_set(const uint8_t *bytes, const int64_t *apart, const int64_t *shape, int64_t *box) {
    Box all = NONE;
    for (int64_t z = 0; z < shape[0]; ++z)
        for (int64_t y = 0; y < shape[1]; ++y) {
            const uint8_t *row = bytes + z * apart[0] + y * apart[1];
            if (all.x0 >= all.x1) {  // nothing yet
                const int64_t begin = first_set(row, shape[2]);
                if (begin < shape[2]) all.add(z, y, begin, end_of_set(row, shape[2]));
                continue;
            }
            const int64_t begin = first_set(row, all.x0);
            const int64_t beyond = all.x1 + end_of_set(row + all.x1, shape[2] - all.x1);
            const bool widens = begin < all.x0 || beyond > all.x1;
            const bool is_known = z < all.z1 && y >= all.y0 && y < all.y1;
            if (widens || (!is_known && all.x0 + first_set(row + all.x0, all.x1 - all.x0) < all.x1))
                all.add(z, y, begin, beyond);
        }
    memcpy(box, &all, sizeof all);
    return all.x0 < all.x1;
}

// labels: of 1, 2 or 4 bytes, the last with a sign, rows of shape[2] of them, aligned; apart in bytes.
// counts (n_labels + 1) and boxes (n_labels + 1, 6) of the labels 1 … n_labels; to > from where there are voxels.
// Returns 0, or 1 where a label is another.
int gsigpu_label_boxes(const void *labels, int n_bytes, const int64_t *apart, const int64_t *shape, int64_t n_labels,
                       int64_t *counts, int64_t *boxes) {
    Box *of_label = (Box *)(void *)boxes;
    for (int64_t i = 0; i <= n_labels; ++i) {
        counts[i] = 0;
        of_label[i] = NONE;
    }
    const uint8_t *from = (const uint8_t *)labels;
    if (n_bytes == 1) return !add_labels<uint8_t>(from, apart, shape, n_labels, counts, of_label);
    if (n_bytes == 2) return !add_labels<uint16_t>(from, apart, shape, n_labels, counts, of_label);
    return !add_labels<int32_t>(from, apart, shape, n_labels, counts, of_label);
}

}  // extern "C"
