// Replicates of the patient bootstrap of ROC curves, the compiled twin of gsigpu.cohort_statistics.roc.bootstrap.
//
// Patients are drawn as NumPy's Generator.integers(0, I, (width, I - 1), int32) draws them (Lemire's method on the
// generator's own 32-bit numbers, stratum by stratum in chunks of replicates), so that a seed gives the same patients
// with and without this library. Sixteen replicates are counted side by side: a patient's weights in them lie together, and
// a lesion is one addition of vectors. Counts are of whole lesions, products of them in float64, exact below 2^53 as in
// NumPy; only the curve on its grid is float32, without fused operations: any x86 processor has the same bits.
// NumPy's default generator (PCG64) is written out here, since half of the time of a draw was the call; any other is called
// by its function. No state, no allocation, no Python: it is called without the GIL.

#ifdef __clang__
#pragma clang fp contract(off)
#else
#pragma GCC optimize("fp-contract=off")
#endif

#include "numpy_random.h"

// How such vectors would be passed does not matter: what takes them is inlined.
#pragma GCC diagnostic ignored "-Wpsabi"

extern "C" {

struct BootstrapPair {
    int32_t positive, negative, is_lower;
};

// What one replicate of one pair gave, in lesions: twice the area times n_true n_false; the place of Youden's cut-off
// and of the next bin that was drawn; how many are called positive there; how many there are.
struct BootstrapCounts {
    int64_t area, best, following, n_true_at_best, n_false_at_best, n_true, n_false;
};

struct BootstrapSample {
    int64_t n_groups, n_bins, n_patients, n_strata, n_lesions, n_pairs, n_grid, n_replicates, chunk;
    const int32_t *stratum_start;   // (n_strata + 1), its first patient: those of a stratum have numbers in a row
    const int32_t *lesion_patient;  // (n_lesions), by group, and from the highest bin to the lowest
    const int32_t *end_of_bin;      // (n_groups, n_bins + 1), how many lesions lie before the end of a bin; first, before the group
    const BootstrapPair *pairs;     // (n_pairs)
};

}  // extern "C"

namespace {

constexpr int AVX512 = 2;  // number of the set, as in linear_maps.cpp
constexpr int64_t SIDE_BY_SIDE = 16;  // replicates, whose counts of one thing fill a line of the cache

// How many draws are counted beside each other. A processor that has seen a patient twice in a row lets each addition
// wait for the one before, whoever is drawn.
constexpr int CHAINS = 4;

// Vectors of N numbers.
template <int N> struct Vectors {
    typedef uint16_t Words __attribute__((vector_size(2 * N)));
    typedef int32_t Integers __attribute__((vector_size(4 * N)));
    typedef uint64_t Longs __attribute__((vector_size(8 * N)));
    typedef float Floats __attribute__((vector_size(4 * N)));
    typedef double Doubles __attribute__((vector_size(8 * N)));
};

template <class Vector, class Number> INLINE Vector load(const Number *from) {
    Vector vector;
    memcpy(&vector, from, sizeof vector);
    return vector;
}

template <class Vector, class Number> INLINE void store(Number *to, const Vector &vector) {
    memcpy(to, &vector, sizeof vector);
}

// Memory for one call, of the caller.
struct Scratch {
    int32_t *cumulated;  // (n_lesions + 1, SIDE_BY_SIDE)
    int32_t *called;     // (n_groups, n_bins + 1, SIDE_BY_SIDE)
    int32_t *reached;    // (SIDE_BY_SIDE, n_grid), the last point of the curve at a grid point and after the one before
    int32_t *around;     // (4, padded n_grid), false and true lesions at two points of the curve
    float *grid;         // (padded n_grid), 0 to 1
    uint16_t *drawn;     // (CHAINS, row), of one stratum and replicate
    uint16_t *weights;   // (padded chunk, row)
    uint16_t *turned;    // (row, SIDE_BY_SIDE), those of the replicates that are counted

    // Weights of a replicate, with room for a vector beyond the last stratum.
    static int64_t row(const BootstrapSample &s) { return padded(s.n_patients) + SIDE_BY_SIDE; }

    // A multiple of SIDE_BY_SIDE.
    static int64_t padded(int64_t n) { return (n + SIDE_BY_SIDE - 1) / SIDE_BY_SIDE * SIDE_BY_SIDE; }

    // Sets the pointers from `memory`, the beginning of a line of the cache; returns how many bytes are needed.
    int64_t lay_out(const BootstrapSample &s, char *memory) {
        int64_t n_bytes = 0;
        place(cumulated, (s.n_lesions + 1) * SIDE_BY_SIDE, memory, n_bytes);
        place(called, s.n_groups * (s.n_bins + 1) * SIDE_BY_SIDE, memory, n_bytes);
        place(reached, s.n_grid * SIDE_BY_SIDE, memory, n_bytes);
        place(around, 4 * padded(s.n_grid), memory, n_bytes);
        place(grid, padded(s.n_grid), memory, n_bytes);
        place(drawn, CHAINS * row(s), memory, n_bytes);
        place(weights, padded(s.chunk) * row(s), memory, n_bytes);
        place(turned, row(s) * SIDE_BY_SIDE, memory, n_bytes);
        return n_bytes;
    }

    template <class Number> static void place(Number *&pointer, int64_t n, char *memory, int64_t &n_bytes) {
        if (memory) pointer = reinterpret_cast<Number *>(memory + n_bytes);
        n_bytes += padded(n) * int64_t(sizeof *pointer);
    }
};

// Draws n - 1 of n patients; to (padded n) how often each. `drawn` is 0, before and after.
template <class Generator>
INLINE void draw_stratum(int32_t n, Generator &next, int64_t row, uint16_t *drawn, uint16_t *to) {
    typedef Vectors<SIDE_BY_SIDE>::Words Words;
    int32_t draw = 1;
    for (; draw + CHAINS <= n; draw += CHAINS)
        UNROLLED
        for (int chain = 0; chain < CHAINS; ++chain) ++drawn[chain * row + below(uint32_t(n), next)];
    for (; draw < n; ++draw) ++drawn[below(uint32_t(n), next)];
    if (n == 1) drawn[0] = 1;
    for (int64_t p = 0; p < n; p += SIDE_BY_SIDE) {
        Words sum = {};
        for (int chain = 0; chain < CHAINS; ++chain) {
            sum += load<Words>(drawn + chain * row + p);
            store(drawn + chain * row + p, Words{});
        }
        store(to + p, sum);
    }
}

// How often each patient is drawn in each of `width` replicates.
template <class Generator>
INLINE void draw_patients(const BootstrapSample &s, int64_t width, Generator &next, const Scratch &scratch) {
    const int64_t row = Scratch::row(s);
    for (int64_t stratum = 0; stratum < s.n_strata; ++stratum) {
        const int32_t first = s.stratum_start[stratum], n = s.stratum_start[stratum + 1] - first;
        // What is written beyond its end belongs to the next stratum, which comes after it, or to nobody.
        for (int64_t r = 0; r < width; ++r) draw_stratum(n, next, row, scratch.drawn, scratch.weights + r * row + first);
    }
}

// The weights of the replicates side by side, all of a patient together: four are shifted into a number, of some patients at once.
template <int AT_ONCE> INLINE void turn(const uint16_t *weights, int64_t row, uint16_t *turned) {
    constexpr int IN_ONE = 4;
    typedef typename Vectors<AT_ONCE>::Words Words;
    typedef typename Vectors<AT_ONCE>::Longs Longs;
    for (int64_t p = 0; p < row; p += AT_ONCE)
        for (int64_t r = 0; r < SIDE_BY_SIDE; r += IN_ONE) {
            Longs together = {};
            for (int i = 0; i < IN_ONE; ++i)
                together |= __builtin_convertvector(load<Words>(weights + (r + i) * row + p), Longs) << (16 * i);
            for (int i = 0; i < AT_ONCE; ++i) {
                const uint64_t of_patient = together[i];
                store(turned + (p + i) * SIDE_BY_SIDE + r, of_patient);
            }
        }
}

// Lesions of each group above each cut-off, the strictest first.
template <int N> INLINE void cumulate(const BootstrapSample &s, const Scratch &to) {
    typedef Vectors<N> V;
    constexpr int PARTS = SIDE_BY_SIDE / N;
    typename V::Integers sums[PARTS] = {};
    memset(to.cumulated, 0, SIDE_BY_SIDE * sizeof *to.cumulated);
    for (int64_t i = 0; i < s.n_lesions; ++i)
        for (int part = 0; part < PARTS; ++part) {
            const uint16_t *drawn = to.turned + int64_t(s.lesion_patient[i]) * SIDE_BY_SIDE + part * N;
            sums[part] += __builtin_convertvector(load<typename V::Words>(drawn), typename V::Integers);
            store(to.cumulated + (i + 1) * SIDE_BY_SIDE + part * N, sums[part]);
        }
    for (int64_t g = 0; g < s.n_groups; ++g) {
        const int32_t *end = s.end_of_bin + g * (s.n_bins + 1);
        int32_t *called = to.called + g * (s.n_bins + 1) * SIDE_BY_SIDE;
        const int32_t *before = to.cumulated + int64_t(end[0]) * SIDE_BY_SIDE;
        for (int64_t k = 0; k <= s.n_bins; ++k)
            for (int part = 0; part < SIDE_BY_SIDE; part += N)
                store(called + k * SIDE_BY_SIDE + part,
                      load<typename V::Integers>(to.cumulated + int64_t(end[k]) * SIDE_BY_SIDE + part) -
                          load<typename V::Integers>(before + part));
    }
}

// Lesions of a group that are called positive: those above a cut-off, or those below it; k = 0 is the strictest.
template <bool LOWER> struct Called {
    const int32_t *above;  // (last + 1, SIDE_BY_SIDE)
    int64_t last;

    // In the replicates from `lane` on; a single one as an int32_t.
    template <class Integers> ALWAYS_INLINE Integers at(int64_t k, int64_t lane) const {
        if (!LOWER) return load<Integers>(above + k * SIDE_BY_SIDE + lane);
        return load<Integers>(above + last * SIDE_BY_SIDE + lane) - load<Integers>(above + (last - k) * SIDE_BY_SIDE + lane);
    }
};

// Of one replicate, once its best cut-off is found.
template <bool LOWER>
INLINE BootstrapCounts at_best(const Called<LOWER> &t, const Called<LOWER> &f, int64_t lane, int64_t best, int64_t area) {
    const int32_t t_best = t.template at<int32_t>(best, lane), f_best = f.template at<int32_t>(best, lane);
    int64_t following = best;
    while (following < t.last && t.template at<int32_t>(following + 1, lane) + f.template at<int32_t>(following + 1, lane) <=
                                     t_best + f_best)
        ++following;
    return {area, best, following, t_best, f_best, t.template at<int32_t>(t.last, lane), f.template at<int32_t>(f.last, lane)};
}

// Area and Youden's cut-off, the strictest of equals, of N replicates; t and f are true and false.
template <int N, bool LOWER>
INLINE void count(const Called<LOWER> &t, const Called<LOWER> &f, int64_t lane, BootstrapCounts *counts) {
    typedef typename Vectors<N>::Integers Integers;
    typedef typename Vectors<N>::Doubles Doubles;
    const Doubles n_true = __builtin_convertvector(t.template at<Integers>(t.last, lane), Doubles);
    const Doubles n_false = __builtin_convertvector(f.template at<Integers>(f.last, lane), Doubles);
    Doubles area = {}, most = {}, best = {}, t_before = {}, f_before = {};
    for (int64_t k = 1; k <= t.last; ++k) {
        const Doubles t_now = __builtin_convertvector(t.template at<Integers>(k, lane), Doubles);
        const Doubles f_now = __builtin_convertvector(f.template at<Integers>(k, lane), Doubles);
        area += (f_now - f_before) * (t_now + t_before);
        const Doubles gain = t_now * n_false - f_now * n_true;
        best = gain > most ? Doubles{} + double(k) : best;
        most = gain > most ? gain : most;
        t_before = t_now;
        f_before = f_now;
    }
    for (int i = 0; i < N; ++i) counts[lane + i] = at_best(t, f, lane + i, int64_t(best[i]), int64_t(area[i]));
}

// At which grid point each point of the curve is reached: its false-positive rate in steps of the grid, less a slack that
// forgives rounding, rounded up. Of several points at one the last is kept.
template <int N, bool LOWER> INLINE void reach(const Called<LOWER> &f, int64_t n_grid, int32_t *reached) {
    typedef typename Vectors<N>::Integers Integers;
    typedef typename Vectors<N>::Floats Floats;
    const float step = float(n_grid - 1);
    Floats n_false[SIDE_BY_SIDE / N];
    for (int part = 0; part < SIDE_BY_SIDE / N; ++part) {
        const Integers total = f.template at<Integers>(f.last, part * N);
        n_false[part] = __builtin_convertvector(total > 0 ? total : Integers{} + 1, Floats);  // all lesions are at 0 of 0
    }
    memset(reached, 0, size_t(SIDE_BY_SIDE * n_grid) * sizeof *reached);
    for (int64_t k = 1; k <= f.last; ++k) {
        int32_t first[SIDE_BY_SIDE];
        for (int part = 0; part < SIDE_BY_SIDE / N; ++part) {
            const Floats lesions = __builtin_convertvector(f.template at<Integers>(k, part * N), Floats);
            const Floats steps = lesions / n_false[part] * step - 1e-3f;
            const Integers whole = __builtin_convertvector(steps, Integers);
            store(first + part * N, whole - (__builtin_convertvector(whole, Floats) < steps));
        }
        for (int64_t lane = 0; lane < SIDE_BY_SIDE; ++lane) reached[lane * n_grid + first[lane]] = int32_t(k);
    }
}

// Sensitivity of one replicate at evenly spaced false-positive rates, straight between the points of the curve.
template <int N, bool LOWER>
INLINE void on_grid(const Called<LOWER> &t, const Called<LOWER> &f, int64_t lane, int64_t n_grid, const Scratch &scratch,
                    float *out) {
    typedef typename Vectors<N>::Integers Integers;
    typedef typename Vectors<N>::Floats Floats;
    const int64_t width = Scratch::padded(n_grid);
    const int32_t *reached = scratch.reached + lane * n_grid;
    int32_t *f0 = scratch.around, *f1 = f0 + width, *t0 = f1 + width, *t1 = t0 + width;
    for (int64_t g = 0, k = 0; g < n_grid; ++g) {
        k = reached[g] > k ? reached[g] : k;
        const int64_t following = k < f.last ? k + 1 : f.last;
        f0[g] = f.template at<int32_t>(k, lane);
        f1[g] = f.template at<int32_t>(following, lane);
        t0[g] = t.template at<int32_t>(k, lane);
        t1[g] = t.template at<int32_t>(following, lane);
    }
    const float n_true = float(t.template at<int32_t>(t.last, lane)), n_false = float(f.template at<int32_t>(f.last, lane));
    for (int64_t g = 0; g < n_grid; g += N) {
        const Floats fpr0 = __builtin_convertvector(load<Integers>(f0 + g), Floats) / n_false;
        const Floats fpr1 = __builtin_convertvector(load<Integers>(f1 + g), Floats) / n_false;
        const Floats tpr0 = __builtin_convertvector(load<Integers>(t0 + g), Floats) / n_true;
        const Floats tpr1 = __builtin_convertvector(load<Integers>(t1 + g), Floats) / n_true;
        const Floats beyond = load<Floats>(scratch.grid + g) - fpr0;
        Floats share = fpr1 > fpr0 ? beyond / (fpr1 - fpr0) : beyond;
        share = share < 0.0f ? Floats{} : share;
        share = share > 1.0f ? Floats{} + 1.0f : share;
        const Floats tpr = tpr0 + share * (tpr1 - tpr0);
        memcpy(out + g, &tpr, (n_grid - g < N ? size_t(n_grid - g) : N) * sizeof *out);
    }
}

// One pair of groups in the first `n_lanes` of the replicates side by side.
template <int N, bool LOWER>
INLINE void of_pair(const BootstrapSample &s, const BootstrapPair &pair, int64_t n_lanes, const Scratch &scratch,
                    BootstrapCounts *counts, float *curves) {
    const int64_t of_group = (s.n_bins + 1) * SIDE_BY_SIDE;
    const Called<LOWER> t = {scratch.called + pair.positive * of_group, s.n_bins};
    const Called<LOWER> f = {scratch.called + pair.negative * of_group, s.n_bins};
    BootstrapCounts of_lanes[SIDE_BY_SIDE];
    for (int64_t lane = 0; lane < SIDE_BY_SIDE; lane += N / 2) count<N / 2>(t, f, lane, of_lanes);
    memcpy(counts, of_lanes, size_t(n_lanes) * sizeof *counts);
    reach<N>(f, s.n_grid, scratch.reached);
    for (int64_t lane = 0; lane < n_lanes; ++lane) on_grid<N>(t, f, lane, s.n_grid, scratch, curves + lane * s.n_grid);
}

// Where all of it comes from and goes to.
struct Job {
    const BootstrapSample &sample;
    char *memory;
    BootstrapCounts *counts;
    float *curves;
};

template <int N, class Generator> INLINE void all_replicates(const Job &job, Generator &next) {
    const BootstrapSample &s = job.sample;
    Scratch scratch;
    scratch.lay_out(s, job.memory);
    memset(scratch.drawn, 0, size_t(CHAINS * Scratch::row(s)) * sizeof *scratch.drawn);
    memset(scratch.weights, 0, size_t(Scratch::padded(s.chunk) * Scratch::row(s)) * sizeof *scratch.weights);
    memset(scratch.around, 0, size_t(4 * Scratch::padded(s.n_grid)) * sizeof *scratch.around);
    for (int64_t g = 0; g < Scratch::padded(s.n_grid); ++g) scratch.grid[g] = float(double(g) * (1.0 / double(s.n_grid - 1)));
    for (int64_t start = 0; start < s.n_replicates; start += s.chunk) {
        const int64_t width = s.n_replicates - start < s.chunk ? s.n_replicates - start : s.chunk;
        draw_patients(s, width, next, scratch);
        for (int64_t r = 0; r < width; r += SIDE_BY_SIDE) {
            const int64_t n_lanes = width - r < SIDE_BY_SIDE ? width - r : SIDE_BY_SIDE;
            turn<N / 2>(scratch.weights + r * Scratch::row(s), Scratch::row(s), scratch.turned);
            cumulate<N>(s, scratch);
            for (int64_t p = 0; p < s.n_pairs; ++p) {
                const int64_t place = p * s.n_replicates + start + r;
                BootstrapCounts *counts = job.counts + place;
                float *curves = job.curves + place * s.n_grid;
                if (s.pairs[p].is_lower) of_pair<N, true>(s, s.pairs[p], n_lanes, scratch, counts, curves);
                else of_pair<N, false>(s, s.pairs[p], n_lanes, scratch, counts, curves);
            }
        }
    }
}

template <class Generator> void run_plain(const Job &job, Generator &next) { all_replicates<4>(job, next); }

#if defined(__x86_64__)
template <class Generator> __attribute__((target("avx2"))) void run_avx2(const Job &job, Generator &next) {
    all_replicates<8>(job, next);
}
template <class Generator>
__attribute__((target("avx512f,avx512bw,avx512vl"))) void run_avx512(const Job &job, Generator &next) {
    all_replicates<16>(job, next);
}
#endif

template <class Generator> void run(int set, const Job &job, Generator &next) {
#if defined(__x86_64__)
    if (set == AVX512 && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl")) return run_avx512(job, next);
    if (set && __builtin_cpu_supports("avx2")) return run_avx2(job, next);
#endif
    (void)set;
    run_plain(job, next);
}

}  // namespace

extern "C" {

// Bytes that a call needs at the beginning of a line of the cache.
int64_t gsigpu_patient_bootstrap_memory(const BootstrapSample *sample) {
    Scratch scratch;
    return scratch.lay_out(*sample, nullptr);
}

// Out: counts (n_pairs, n_replicates) and curves (n_pairs, n_replicates, n_grid).
// set : the number of the set of instructions, as in linear_maps.cpp; all give the same bits
void gsigpu_patient_bootstrap(int set, const BootstrapSample *sample, uint32_t (*next)(void *), void *state, char *memory,
                              BootstrapCounts *counts, float *curves) {
    ByFunction generator = {next, state};
    run(set, {*sample, memory, counts, curves}, generator);
}

// The same by PCG64, whose state is that after the last draw when it returns; 0 where the compiler has no numbers of 128 bits.
int gsigpu_patient_bootstrap_pcg64(int set, const BootstrapSample *sample, Pcg64 *pcg, char *memory, BootstrapCounts *counts,
                                   float *curves) {
#ifdef __SIZEOF_INT128__
    Inlined generator(*pcg);
    run(set, {*sample, memory, counts, curves}, generator);
    generator.put_back(*pcg);
    return 1;
#else
    return 0;
#endif
}

}  // extern "C"
