// Values at given places of the order of a segment, and how many lie in each of some bins of equal width over its range.
// NumPy twins: gsigpu.backends.cpu.sort_segments and segment_histograms.
//
// Nothing is sorted. Values are counted in thousands of narrow bins first, by vectors. A value's narrow bin never falls as the value
// rises, rounding included: so it is known then in which of them the wanted places and the edges of the wide bins are, and
// only what lies in those, a hundredth of the values, is looked at one by one.
// No state, no allocation, no Python: it is called without the GIL, by several threads.

#include <stdint.h>

#include <algorithm>

#include "same_bits.h"

namespace {

constexpr int NARROW = 4096;  // and one behind them, of NaN
constexpr int PIECE = 1024;   // values and their bins stay in the L1 cache
// A value lies within its narrow bin but for rounding, which is less than 2^-10 of one; in parts of a narrow bin.
constexpr double MARGIN = 0.0625;
// From so many values on counting costs less than sorting.
constexpr int64_t MANY = 1024;
constexpr int MOST_PLACES = 64;

template <int N>
struct Lanes {
    typedef float Floats __attribute__((vector_size(4 * N)));
    typedef Floats UnalignedFloats __attribute__((aligned(4), may_alias));
    typedef int32_t Words __attribute__((vector_size(4 * N)));
    typedef Words UnalignedWords __attribute__((aligned(4), may_alias));
};

// Lowest and highest value that is no NaN.
struct Range {
    float low, high;
};

template <int N>
INLINE Range range_of(const float *x, int64_t n) {
    typedef typename Lanes<N>::Floats Floats;
    const float infinity = __builtin_inff();
    Floats lows = Floats{} + infinity, highs = Floats{} - infinity;
    int64_t i = 0;
    for (; i + N <= n; i += N) {
        const Floats values = *(const typename Lanes<N>::UnalignedFloats *)(x + i);
        lows = values < lows ? values : lows;
        highs = values > highs ? values : highs;
    }
    Range range = {infinity, -infinity};
    for (int k = 0; k < N; ++k) {
        range.low = lows[k] < range.low ? lows[k] : range.low;
        range.high = highs[k] > range.high ? highs[k] : range.high;
    }
    for (; i < n; ++i) {
        range.low = x[i] < range.low ? x[i] : range.low;
        range.high = x[i] > range.high ? x[i] : range.high;
    }
    return range;
}

INLINE int32_t narrow_bin(float x, float low, float scale) {
    const float at = (x - low) * scale;
    const int32_t bin = int32_t(at < NARROW - 1 ? at : float(NARROW - 1));
    return x == x ? bin : NARROW;
}

template <int N>
INLINE void narrow_bins(const float *x, int n, float low, float scale, int32_t *bins) {
    typedef typename Lanes<N>::Floats Floats;
    typedef typename Lanes<N>::Words Words;
    const Floats last = Floats{} + float(NARROW - 1);
    const Words none = Words{} + NARROW;
    int i = 0;
    for (; i + N <= n; i += N) {
        const Floats values = *(const typename Lanes<N>::UnalignedFloats *)(x + i);
        Floats at = (values - low) * scale;
        at = at < last ? at : last;
        const Words bin = __builtin_convertvector(at, Words);
        *(typename Lanes<N>::UnalignedWords *)(bins + i) = values == values ? bin : none;
    }
    for (; i < n; ++i) bins[i] = narrow_bin(x[i], low, scale);
}

// The wide bins of a range; as gsigpu.backends.Backend.segment_histograms has them.
struct WideBins {
    double low, width, edge;
    int n;

    int clipped(double at) const { return int(at < 0.0 ? 0.0 : at < n - 1 ? at : double(n - 1)); }
    int of(float x) const { return clipped(n * (double(x) - low) / width + edge); }
    // Of a place among the narrow bins.
    int of_narrow(double at) const { return clipped(n * at / NARROW + edge); }
};

// What is asked of a segment and row. places : ascending, below how many values are no NaN
struct Wanted {
    const int64_t *places;
    int n_places;
    float *picked;
    int64_t *counts;
};

void by_sorting(const float *x, int64_t n, const WideBins &bins, const Wanted &wanted, float *room) {
    int64_t n_valid = 0;
    for (int64_t i = 0; i < n; ++i) {
        room[n_valid] = x[i];
        n_valid += x[i] == x[i];
    }
    std::sort(room, room + n_valid);
    for (int r = 0; r < wanted.n_places; ++r) wanted.picked[r] = room[wanted.places[r]];
    if (wanted.counts)
        for (int64_t i = 0; i < n_valid; ++i) ++wanted.counts[bins.of(room[i])];
}

// A narrow bin in which places are wanted: its values, their number, and how many lie below it.
struct Open {
    float *values;
    int64_t n, n_below;
};

// Picks ascending places from the values of the bins they are in.
INLINE void pick(const Open *open, const int *open_of, const Wanted &wanted) {
    for (int r = 0; r < wanted.n_places;) {
        const Open &bin = open[open_of[r]];
        float *first = bin.values, *const end = bin.values + bin.n;
        const auto ends = std::minmax_element(first, end);
        const float low = *ends.first;
        const bool is_one_value = low == *ends.second;
        const int of_bin = open_of[r];
        for (; r < wanted.n_places && open_of[r] == of_bin; ++r) {
            float *const at = bin.values + (wanted.places[r] - bin.n_below);
            if (!is_one_value && at >= first) {
                std::nth_element(first, at, end);
                first = at + 1;
            }
            wanted.picked[r] = is_one_value ? low : *at;
        }
    }
}

enum Look : uint8_t { NOTHING = 0, PLACES = 1, EDGE = 2 };

template <int N>
INLINE void by_counting(const float *x, int64_t n, float low, float scale, const WideBins &bins, const Wanted &wanted,
                        float *room) {
    int32_t of_values[PIECE];
    int64_t counts[NARROW + 1] = {};
    for (int64_t first = 0; first < n; first += PIECE) {
        const int m = int(n - first < PIECE ? n - first : PIECE);
        narrow_bins<N>(x + first, m, low, scale, of_values);
        for (int i = 0; i < m; ++i) ++counts[of_values[i]];
    }
    uint8_t look[NARROW + 1] = {};
    uint8_t open_at[NARROW];  // of bins in which places are wanted
    Open open[MOST_PLACES];
    int open_of[MOST_PLACES];
    int n_open = 0, r = 0;
    int64_t n_below = 0;
    float *next = room;
    for (int b = 0; b < NARROW; ++b) {
        if (!counts[b]) continue;
        if (wanted.counts) {
            const int wide = bins.of_narrow(b - MARGIN);
            if (wide == bins.of_narrow(b + 1 + MARGIN))
                wanted.counts[wide] += counts[b];
            else
                look[b] = EDGE;
        }
        const int64_t n_to_here = n_below + counts[b];
        if (r < wanted.n_places && wanted.places[r] < n_to_here) {
            look[b] |= PLACES;
            open_at[b] = uint8_t(n_open);
            open[n_open] = {next, 0, n_below};
            for (; r < wanted.n_places && wanted.places[r] < n_to_here; ++r) open_of[r] = n_open;
            ++n_open;
            next += counts[b];
        }
        n_below = n_to_here;
    }
    int16_t looked_at[PIECE];
    for (int64_t first = 0; first < n; first += PIECE) {
        const int m = int(n - first < PIECE ? n - first : PIECE);
        narrow_bins<N>(x + first, m, low, scale, of_values);
        int n_looked_at = 0;
        for (int i = 0; i < m; ++i) {
            looked_at[n_looked_at] = int16_t(i);
            n_looked_at += look[of_values[i]] != NOTHING;
        }
        for (int k = 0; k < n_looked_at; ++k) {
            const int i = looked_at[k], b = of_values[i];
            const float value = x[first + i];
            if (look[b] & EDGE) ++wanted.counts[bins.of(value)];
            if (look[b] & PLACES) {
                Open &to = open[open_at[b]];
                to.values[to.n++] = value;
            }
        }
    }
    pick(open, open_of, wanted);
}

struct Job {
    const float *values;  // (rows, values of all segments)
    int64_t n_rows;
    const int64_t *starts;
    int64_t n_segments;
    const int64_t *places;  // (rows, segments, places), ascending
    int n_places;
    int n_bins;
    double edge;
    float *picked;    // (rows, segments, places)
    int64_t *counts;  // (rows, segments, bins)
    float *room;      // of the longest segment
};

// Returns false where values are not finite, or too far apart.
template <int N>
INLINE bool run(const Job &job) {
    for (int64_t p = 0; p < job.n_rows; ++p)
        for (int64_t s = 0; s < job.n_segments; ++s) {
            const float *x = job.values + p * job.starts[job.n_segments] + job.starts[s];
            const int64_t n = job.starts[s + 1] - job.starts[s], cell = p * job.n_segments + s;
            const Wanted wanted = {job.places + cell * job.n_places, job.n_places, job.picked + cell * job.n_places,
                                   job.n_bins ? job.counts + cell * job.n_bins : nullptr};
            const Range range = range_of<N>(x, n);
            if (range.low > range.high) continue;  // nothing but NaN
            const float apart = range.high - range.low, scale = NARROW / apart;
            const bool is_one_value = apart == 0.0f;
            const bool is_counted = !is_one_value && n >= MANY;
            if (!(apart < __builtin_inff()) || (is_counted && !(scale < __builtin_inff()))) return false;
            const WideBins bins = {range.low, is_one_value ? 1.0 : double(range.high) - double(range.low), job.edge,
                                   job.n_bins};
            if (is_one_value) {
                for (int r = 0; r < wanted.n_places; ++r) wanted.picked[r] = range.low;
                if (wanted.counts)
                    for (int64_t i = 0; i < n; ++i) wanted.counts[bins.of(range.low)] += x[i] == x[i];
            } else if (is_counted) {
                by_counting<N>(x, n, range.low, scale, bins, wanted, job.room);
            } else {
                by_sorting(x, n, bins, wanted, job.room);
            }
        }
    return true;
}

bool run_plain(const Job &job) { return run<4>(job); }

#if defined(__x86_64__)
__attribute__((target("avx2"))) bool run_avx2(const Job &job) { return run<8>(job); }
__attribute__((target("avx512f"))) bool run_avx512(const Job &job) { return run<16>(job); }
#endif

}  // namespace

extern "C" {

// values (n_rows, starts[n_segments]); places (n_rows, n_segments, n_places) ascending, from 0 to below how many values of the
// segment are no NaN, and any where none is.
// picked, of the same shape: the values at these places in order, as they were where there are none.
// counts (n_rows, n_segments, n_bins), zeros before: values with floor(n_bins (x - low) / (high - low) + edge) = b, the last
// bin closed. n_bins may be 0.
// room : of as many floats as the longest segment has values
// set : the number of the set of instructions, as in linear_maps.cpp; all give the same
// Returns 0; 1 where values are infinite or too far apart for float32, or more places are wanted than it takes.
int gsigpu_order_statistics(int set, const float *values, int64_t n_rows, const int64_t *starts, int64_t n_segments,
                            const int64_t *places, int n_places, int n_bins, double edge, float *picked, int64_t *counts,
                            float *room) {
    if (n_places > MOST_PLACES) return 1;
    const Job job = {values, n_rows, starts, n_segments, places, n_places, n_bins, edge, picked, counts, room};
#if defined(__x86_64__)
    if (set == 2 && __builtin_cpu_supports("avx512f")) return !run_avx512(job);
    if (set && __builtin_cpu_supports("avx2")) return !run_avx2(job);
#endif
    (void)set;
    return !run_plain(job);
}

}  // extern "C"
