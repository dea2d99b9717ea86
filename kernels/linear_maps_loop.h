// The loop of linear_maps.cpp for one instruction set; included once per set, inside namespace NAME.
//
// Planes of a slice lie 512 KiB apart as a rule, so voxel i of all energies falls into the same set of the caches,
// which hold eight. Reading eleven planes in step throws lines out before they are used, and costs 1.6 times a copy
// of the bytes instead of 1.0. So with more than FEW_PLANES energies each plane is read a tile later than the one
// before, into a ring that lies well in the first cache, and a tile is computed when its last plane has come.

#include "vectors.h"

namespace NAME {

constexpr int TILE = 64;          // voxels; a multiple of what `block` does, 32 to 64
constexpr int SLOTS = 16;         // tiles of a plane in the ring; planes are read up to 15 tiles apart
constexpr int RING_PLANE = SLOTS * TILE + 32;  // a line more than a power of two: planes of the ring do not collide
constexpr int FEW_PLANES = 4;
constexpr int AHEAD = 256;        // voxels that are fetched ahead, for the processor does not look over a page's end

// K maps of V vectors of voxels, from x[e * plane + i]. Quantised maps are also looked through for values at the
// limits, which may have been clipped.
template <int K, int V, typename Out>
INLINE void block(const int16_t *x, int64_t plane, const Weights &by, Out *const *out, int64_t at,
                  WordVector &highest, WordVector &lowest) {
    FloatVector sum[K][V];
    const float *weight = by.weights;
    UNROLL for (int k = 0; k < K; ++k)
        UNROLL for (int v = 0; v < V; ++v) sum[k][v] = by.offsets[k] - FloatVector{};
    for (int e = 0; e < by.n_energies; ++e, x += plane) {
        FloatVector value[V];
        UNROLL for (int v = 0; v < V; ++v) value[v] = widen(x + v * LANES);
        UNROLL for (int k = 0; k < K; ++k) {
            const FloatVector factor = *weight++ - FloatVector{};
            UNROLL for (int v = 0; v < V; ++v) sum[k][v] += factor * value[v];
        }
    }
    UNROLL for (int k = 0; k < K; ++k) {
        UNROLL for (int v = 0; v < V; v += 2) {
            Out *to = out[k] + at + v * LANES;
            if constexpr (sizeof(Out) == sizeof(int16_t)) {
                const WordVector words = narrow(sum[k][v], sum[k][v + 1]);
                highest = larger(highest, words);
                lowest = smaller(lowest, words);
                store_words(to, words);
            } else {
                store_floats(to, sum[k][v]);
                store_floats(to + LANES, sum[k][v + 1]);
            }
        }
    }
}

// All blocks of a tile. Returns whether a value may have been clipped.
template <int K, typename Out>
INLINE bool tile(const int16_t *x, int64_t plane, const Weights &by, Out *const *out, int64_t at) {
    constexpr int V = K <= 2 ? 4 : 2;  // so that all sums stay in sixteen registers
    WordVector highest{}, lowest{};
    for (int i = 0; i < TILE; i += V * LANES) block<K, V>(x + i, plane, by, out, at + i, highest, lowest);
    const WordVector limit = int16_t(LARGEST) - WordVector{};
    return sizeof(Out) == sizeof(int16_t) && any((highest >= limit) | (lowest <= -limit));
}

INLINE void copy_tile(const int16_t *from, int16_t *to) {
    UNROLL for (int i = 0; i < TILE; i += 2 * LANES) store_words(to + i, load_words(from + i));
}

// Whether a tile of a plane holds a value of the range.
INLINE bool holds(const int16_t *from, Range range) {
    if (range.is_empty) return false;
    UnsignedWords least = ~UnsignedWords{};
    const UnsignedWords low = range.low - UnsignedWords{}, span = range.span - UnsignedWords{};
    UNROLL for (int i = 0; i < TILE; i += 2 * LANES)
        least = smaller(least, (UnsignedWords)load_words(from + i) - low);
    return any((WordVector)(smaller(least, span) == least));
}

// The maps of a tile as they are where padding lies in it, a value is clipped, or the slice ends in it.
template <int K, typename Out>
void careful_tile(const int16_t *x, int64_t plane, const Weights &by, Out *const *out, int64_t at, int n) {
    alignas(BYTES) float values[K][TILE];
    float *to[K];
    for (int k = 0; k < K; ++k) to[k] = values[k];
    tile<K, float>(x, plane, by, to, 0);
    for (int i = 0; i < n; ++i) {
        const bool padded = is_padded(x + i, plane, by);
        for (int k = 0; k < K; ++k) finish(values[k][i], padded, out[k][at + i], by.n_clipped[k]);
    }
}

template <int K, typename Out>
void one_tile(const int16_t *x, int64_t plane, bool padded, const Weights &by, Out *const *out, int64_t at) {
    if (padded || tile<K>(x, plane, by, out, at)) careful_tile<K>(x, plane, by, out, at, TILE);
}

template <int K, typename Out>
void last_tile(const int16_t *x, int64_t plane, const Weights &by, Out *const *out, int64_t at, int n) {
    alignas(BYTES) int16_t rest[MOST_ENERGIES * TILE] = {};
    for (int e = 0; e < by.n_energies; ++e)
        memcpy(rest + e * TILE, x + e * plane + at, n * sizeof(int16_t));
    careful_tile<K>(rest, TILE, by, out, at, n);
}

template <int K, typename Out>
void in_step(const int16_t *x, int64_t plane, int64_t n, const Weights &by, Out *const *out) {
    for (int64_t at = 0; at + TILE <= n; at += TILE) {
        bool padded = false;
        for (int e = 0; by.ranges && e < by.n_energies; ++e) padded |= holds(x + e * plane + at, by.ranges[e]);
        one_tile<K>(x + at, plane, padded, by, out, at);
    }
}

template <int K, typename Out>
void through_ring(const int16_t *x, int64_t plane, int64_t n, const Weights &by, Out *const *out) {
    alignas(64) int16_t ring[MOST_ENERGIES * RING_PLANE];
    bool padded[SLOTS] = {};
    const int64_t n_tiles = n / TILE;
    const int furthest = by.n_energies < SLOTS ? by.n_energies - 1 : SLOTS - 1;
    for (int64_t step = 0; step < n_tiles + furthest; ++step) {
        for (int e = 0; e < by.n_energies; ++e) {
            const int64_t t = step - e % SLOTS;
            if (t < 0 || t >= n_tiles) continue;
            const int16_t *from = x + e * plane + t * TILE;
            for (int i = 0; i < TILE; i += 32) __builtin_prefetch(from + i + AHEAD);
            copy_tile(from, ring + e * RING_PLANE + t % SLOTS * TILE);
            if (by.ranges) padded[t % SLOTS] |= holds(from, by.ranges[e]);
        }
        const int64_t t = step - furthest;
        if (t < 0) continue;
        one_tile<K>(ring + t % SLOTS * TILE, RING_PLANE, padded[t % SLOTS], by, out, t * TILE);
        padded[t % SLOTS] = false;
    }
}

// K maps of one slice, (E, n) stored values, a plane every `plane` values. Planes that were laid apart do not collide.
template <int K, typename Out>
void slice(const int16_t *x, int64_t plane, int64_t n, const Weights &by, Out *const *out) {
    if (by.n_energies <= FEW_PLANES || plane != n) in_step<K>(x, plane, n, by, out);
    else through_ring<K>(x, plane, n, by, out);
    if (n % TILE) last_tile<K>(x, plane, by, out, n - n % TILE, int(n % TILE));
}

template <typename Out>
void maps(int n_maps, const int16_t *x, int64_t plane, int64_t n, const Weights &by, Out *const *out) {
    if (n_maps == 1) slice<1>(x, plane, n, by, out);
    else if (n_maps == 2) slice<2>(x, plane, n, by, out);
    else if (n_maps == 3) slice<3>(x, plane, n, by, out);
    else slice<4>(x, plane, n, by, out);
}

}  // namespace NAME

#undef SET
#undef NAME
#undef INLINE
