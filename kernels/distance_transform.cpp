// Distances of voxels to the nearest background, one axis after the other, in float64. Truth: SciPy, through
// gsigpu.backends.cpu.distance_transform; CUDA twin: distance_transform.cu, which states the law.
//
//     to[i] = min over k of from[j] + (k step)^2, j the voxel k places before or behind i on its line
//
// Along x the nearest background is counted; along y and z a search goes outwards from each voxel until nothing farther can
// be nearer, for lines that lie beside each other in vectors. What it costs is the distance, not the length of the line.
// Lines begin and end where there is any background, so that no time goes into infinity.
// With steps that are multiples of 2^-18 mm every square and every sum is exact below 362 mm: neither the order, nor the set
// of instructions, nor a fused multiply-add changes a bit. No state, no allocation, no Python.

#include <stdint.h>
#include <string.h>

#define SSE2 0
#define AVX2 1
#define AVX512 2
#define NEON 3

#if defined(__x86_64__)
#include <immintrin.h>
#else
#include <arm_neon.h>
#endif

#define INLINE static inline __attribute__((always_inline))

namespace {

constexpr double NOTHING = __builtin_huge_val();

// Lines of a pass.
struct Lines {
    int64_t length, stride;  // places, and values from one to the next
    int64_t first, end;      // of the places, those with any background on their line across
    double step;
    bool is_last;  // squares become distances

    bool holds(int64_t place) const { return place >= first && place < end; }
    int64_t least_step(int64_t place) const {
        const int64_t k = place < first ? first - place : place - end + 1;
        return k > 1 ? k : 1;
    }
    bool reaches(int64_t place, int64_t k) const { return place - k >= first || place + k < end; }
};

void pass_of_line(const double *from, double *to, const Lines &lines) {
    for (int64_t place = 0; place < lines.length; ++place) {
        const double *here = from + place * lines.stride;
        double best = *here;
        for (int64_t k = lines.least_step(place); lines.reaches(place, k); ++k) {
            const double across = double(k) * lines.step, squared = across * across;
            if (squared >= best) break;
            if (lines.holds(place - k) && here[-k * lines.stride] + squared < best)
                best = here[-k * lines.stride] + squared;
            if (lines.holds(place + k) && here[k * lines.stride] + squared < best)
                best = here[k * lines.stride] + squared;
        }
        to[place * lines.stride] = lines.is_last ? __builtin_sqrt(best) : best;
    }
}

// A row of a mask: squares of distances along it. Returns whether it has any background.
bool row_of_squares(const uint8_t *mask, int64_t n, double step, double *to) {
    const uint8_t *background = (const uint8_t *)memchr(mask, 0, size_t(n));
    if (!background) {
        for (int64_t x = 0; x < n; ++x) to[x] = NOTHING;
        return false;
    }
    int64_t nearest = background - mask;
    for (int64_t x = 0; x < nearest; ++x) {
        const double across = double(nearest - x) * step;
        to[x] = across * across;
    }
    while (nearest < n) {
        to[nearest] = 0.0;
        int64_t next = nearest + 1;
        while (next < n && mask[next]) ++next;
        for (int64_t x = nearest + 1; x < next; ++x) {
            const int64_t behind = x - nearest, ahead = next < n ? next - x : behind;
            const double across = double(behind < ahead ? behind : ahead) * step;
            to[x] = across * across;
        }
        nearest = next;
    }
    return true;
}

}  // namespace

// The pass, once per set; a pragma names the instructions that a set may use.
#if defined(__clang__)
#define BEGIN _Pragma("clang attribute push(__attribute__((target(\"avx2\"))), apply_to = function)")
#define END _Pragma("clang attribute pop")
#else
#define BEGIN _Pragma("GCC push_options") _Pragma("GCC target(\"avx2\")")
#define END _Pragma("GCC pop_options")
#endif

#if defined(__x86_64__)
#define SET SSE2
#define NAME sse2_distances
#include "distance_transform_loop.h"
#define SET AVX2
#define NAME avx2_distances
BEGIN
#include "distance_transform_loop.h"
END
#else
#define SET NEON
#define NAME neon_distances
#include "distance_transform_loop.h"
#endif

namespace {

void pass(int set, const double *from, double *to, int64_t n_lines, const Lines &lines) {
#if defined(__x86_64__)
    if (set == SSE2) sse2_distances::pass(from, to, n_lines, lines);
    else avx2_distances::pass(from, to, n_lines, lines);
#else
    (void)set;
    neon_distances::pass(from, to, n_lines, lines);
#endif
}

// First and end of what was seen, which comes in ascending order.
struct Seen {
    int64_t first = 0, end = 0;

    void add(int64_t place) {
        if (first == end) first = place;
        end = place + 1;
    }
};

}  // namespace

extern "C" {

int gsigpu_has_set(int set);

// mask (N, Z, Y, X) bytes, 0 for background; steps (3) along z, y and x, of which the first n_axes are left out where fewer
// than three are asked for; to (N, Z, Y, X), room of the same size. Returns 0, or 1 where the processor lacks the set.
int gsigpu_distance_transform(int set, const uint8_t *mask, const int64_t *shape, const double *steps, int n_axes,
                              double *to, double *room) {
    if (!gsigpu_has_set(set)) return 1;
    const int64_t n = shape[0], n_z = shape[1], n_y = shape[2], n_x = shape[3], n_plane = n_y * n_x;
    for (int64_t i = 0; i < n; ++i, mask += n_z * n_plane, to += n_z * n_plane, room += n_z * n_plane) {
        Seen planes;
        // So that the last pass writes to `to`: squares along x, and those along y, take turns.
        double *rows = n_axes == 2 ? room : to, *squares = n_axes == 2 ? to : room;
        for (int64_t z = 0; z < n_z; ++z) {
            Seen of_plane;
            for (int64_t y = 0; y < n_y; ++y) {
                const int64_t at = z * n_plane + y * n_x;
                if (row_of_squares(mask + at, n_x, steps[2], rows + at)) of_plane.add(y);
                for (int64_t x = 0; n_axes == 1 && x < n_x; ++x) rows[at + x] = __builtin_sqrt(rows[at + x]);
            }
            if (n_axes == 1) continue;
            if (of_plane.first < of_plane.end) planes.add(z);
            const Lines along_y = {n_y, n_x, of_plane.first, of_plane.end, steps[1], n_axes == 2};
            pass(set, rows + z * n_plane, squares + z * n_plane, n_x, along_y);
        }
        const Lines along_z = {n_z, n_plane, planes.first, planes.end, steps[0], true};
        if (n_axes == 3) pass(set, room, to, n_plane, along_z);
    }
    return 0;
}

}  // extern "C"
