// Replicates of the patient bootstrap of ROC curves, the compiled twin of gsigpu.cohort_statistics.roc.bootstrap.
//
// Patients are drawn as NumPy's Generator.integers(0, I, (width, I - 1), int32) draws them (Lemire's method on the
// generator's own 32-bit numbers, stratum by stratum in chunks of replicates), so that a seed gives the same patients
// with and without this library. Everything is counted in whole lesions; only the curve on its grid is float32.
// NumPy's default generator (PCG64) is written out here, since half of the time of a draw was the call; any other is called
// by its function. No state, no allocation, no Python: it is called without the GIL.

#include <stdint.h>
#include <string.h>

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
    const int32_t *stratum_start;    // (n_strata + 1), into stratum_patient
    const int32_t *stratum_patient;  // (n_patients)
    const int32_t *lesion_patient;   // (n_lesions), by group, and from the highest bin to the lowest
    const int32_t *end_of_bin;       // (n_groups, n_bins + 1), how many lesions lie before the end of a bin; first, before the group
    const BootstrapPair *pairs;      // (n_pairs)
};

// NumPy's PCG64 as `bit_generator.state` gives it; `half` is the upper half of a number of 64 bits whose lower half was taken.
struct Pcg64 {
    uint64_t state_low, state_high, increment_low, increment_high;
    uint32_t has_half, half;
};

}  // extern "C"

namespace {

// 32-bit numbers of any generator, by NumPy's interface in C.
struct ByFunction {
    uint32_t (*next)(void *);
    void *state;
    uint32_t operator()() { return next(state); }
};

#ifdef __SIZEOF_INT128__
// The same numbers as NumPy's PCG64: XSL-RR 128/64 (O'Neill 2014, HMC-CS-2014-0905), each in two halves, the lower first.
struct Inlined {
    unsigned __int128 state, increment;
    uint32_t has_half, half;
    explicit Inlined(const Pcg64 &p)
        : state((unsigned __int128)p.state_high << 64 | p.state_low),
          increment((unsigned __int128)p.increment_high << 64 | p.increment_low), has_half(p.has_half), half(p.half) {}
    uint32_t operator()() {
        if (has_half) {
            has_half = 0;
            return half;
        }
        const unsigned __int128 multiplier = (unsigned __int128)2549297995355413924u << 64 | 4865540595714422341u;
        state = state * multiplier + increment;
        const uint64_t folded = uint64_t(state >> 64) ^ uint64_t(state);
        const unsigned turn = unsigned(state >> 122);
        const uint64_t number = folded >> turn | folded << (-turn & 63);
        has_half = 1;
        half = uint32_t(number >> 32);
        return uint32_t(number);
    }
    void put_back(Pcg64 &p) const {
        p.state_low = uint64_t(state);
        p.state_high = uint64_t(state >> 64);
        p.has_half = has_half;
        p.half = half;
    }
};
#endif

// A number from 0 to n - 1 (Lemire, ACM Trans Model Comput Simul 2019; 29: 3).
template <class Generator> inline uint32_t below(uint32_t n, Generator &next) {
    uint64_t product = uint64_t(next()) * n;
    if (uint32_t(product) < n) {
        const uint32_t threshold = uint32_t(-n) % n;
        while (uint32_t(product) < threshold) product = uint64_t(next()) * n;
    }
    return uint32_t(product >> 32);
}

// Of a point of the curve: its false-positive rate in steps of the grid, less a slack that forgives rounding.
inline float in_steps(int32_t n_called, float n_false, float step) { return float(n_called) / n_false * step - 1e-3f; }

// Sensitivity at evenly spaced false-positive rates, straight between the points of the curve.
void on_grid(const int32_t *true_, const int32_t *false_, int32_t last, int32_t n_grid, float *out) {
    const int32_t total = false_[last];
    const float n_true = float(true_[last]), n_false = float(total), step = float(n_grid - 1);
    const double spacing = 1.0 / double(step);
    int32_t k = 0, most = 0;
    for (int32_t g = 0; g < n_grid; ++g) {
        // `most` lesions called positive lie at or before this grid point; found without asking every point of the curve.
        most = total ? int32_t((double(g) + 1e-3) * spacing * double(total)) : 0;
        while (most < total && in_steps(most + 1, n_false, step) <= float(g)) ++most;
        while (most > 0 && in_steps(most, n_false, step) > float(g)) --most;
        while (k < last && false_[k + 1] <= most) ++k;
        const int32_t following = k < last ? k + 1 : last;
        const float f0 = float(false_[k]) / n_false, f1 = float(false_[following]) / n_false;
        const float t0 = float(true_[k]) / n_true, t1 = float(true_[following]) / n_true;
        const float at = float(double(g) * spacing);
        float share = f1 > f0 ? (at - f0) / (f1 - f0) : at - f0;
        share = share < 0.0f ? 0.0f : share > 1.0f ? 1.0f : share;
        out[g] = t0 + share * (t1 - t0);
    }
}

// How often each patient is drawn, (width, n_patients).
template <class Generator> void draw_patients(const BootstrapSample &s, int64_t width, Generator &given, uint16_t *weights) {
    Generator next = given;  // a copy, which can stay in registers
    memset(weights, 0, size_t(width * s.n_patients) * sizeof *weights);
    for (int64_t stratum = 0; stratum < s.n_strata; ++stratum) {
        const int32_t *patients = s.stratum_patient + s.stratum_start[stratum];
        const int32_t n = s.stratum_start[stratum + 1] - s.stratum_start[stratum];
        for (int64_t r = 0; r < width; ++r) {
            uint16_t *of_replicate = weights + r * s.n_patients;
            if (n == 1) of_replicate[patients[0]] = 1;
            for (int32_t draw = 1; draw < n; ++draw) ++of_replicate[patients[below(uint32_t(n), next)]];
        }
    }
    given = next;
}

// Lesions of each group called positive at each cut-off, the strictest first: above it, then below it.
void cumulate(const BootstrapSample &s, const uint16_t *weights, int32_t *cumulated, int32_t *called) {
    const int64_t n_points = s.n_bins + 1;
    int32_t sum = cumulated[0] = 0;
    for (int64_t i = 0; i < s.n_lesions; ++i) cumulated[i + 1] = sum += weights[s.lesion_patient[i]];
    for (int64_t g = 0; g < s.n_groups; ++g) {
        const int32_t *end = s.end_of_bin + g * n_points;
        int32_t *above = called + g * n_points, *below_ = called + (s.n_groups + g) * n_points;
        const int32_t before = cumulated[end[0]], all = cumulated[end[s.n_bins]];
        for (int64_t k = 0; k < n_points; ++k) {
            above[k] = cumulated[end[k]] - before;
            below_[s.n_bins - k] = all - cumulated[end[k]];
        }
    }
}

// Area and Youden's cut-off, the strictest of equals; t and f are lesions called positive, true and false.
BootstrapCounts counted(const int32_t *t, const int32_t *f, int32_t last, int64_t *gains) {
    const int64_t n_true = t[last], n_false = f[last];
    int64_t area = 0, most = 0;
    for (int32_t k = 1; k <= last; ++k) {
        area += int64_t(f[k] - f[k - 1]) * (t[k] + t[k - 1]);
        const int64_t gain = gains[k] = t[k] * n_false - f[k] * n_true;
        most = gain > most ? gain : most;
    }
    int32_t best = 0;
    if (most > 0)
        while (gains[best + 1] != most) ++best;
    best += most > 0;
    int32_t following = best;
    while (following < last && t[following + 1] + f[following + 1] <= t[best] + f[best]) ++following;
    return {area, best, following, t[best], f[best], n_true, n_false};
}

template <class Generator>
void all_replicates(const BootstrapSample &s, Generator &next, uint16_t *weights, int32_t *cumulated, int32_t *called,
                    int64_t *gains, BootstrapCounts *counts, float *curves) {
    const int64_t n_points = s.n_bins + 1;
    for (int64_t start = 0; start < s.n_replicates; start += s.chunk) {
        const int64_t width = s.n_replicates - start < s.chunk ? s.n_replicates - start : s.chunk;
        draw_patients(s, width, next, weights);
        for (int64_t r = 0; r < width; ++r) {
            cumulate(s, weights + r * s.n_patients, cumulated, called);
            for (int64_t p = 0; p < s.n_pairs; ++p) {
                const BootstrapPair &pair = s.pairs[p];
                const int32_t *of_direction = called + pair.is_lower * s.n_groups * n_points;
                const int32_t *t = of_direction + pair.positive * n_points;
                const int32_t *f = of_direction + pair.negative * n_points;
                const int64_t place = p * s.n_replicates + start + r;
                counts[place] = counted(t, f, int32_t(s.n_bins), gains);
                on_grid(t, f, int32_t(s.n_bins), int32_t(s.n_grid), curves + place * s.n_grid);
            }
        }
    }
}

}  // namespace

extern "C" {

// Scratch: weights (chunk, n_patients), cumulated (n_lesions + 1), called (2, n_groups, n_bins + 1), gains (n_bins + 1).
// Out: counts (n_pairs, n_replicates) and curves (n_pairs, n_replicates, n_grid).
void gsigpu_patient_bootstrap(const BootstrapSample *sample, uint32_t (*next)(void *), void *state, uint16_t *weights,
                              int32_t *cumulated, int32_t *called, int64_t *gains, BootstrapCounts *counts,
                              float *curves) {
    ByFunction generator = {next, state};
    all_replicates(*sample, generator, weights, cumulated, called, gains, counts, curves);
}

// The same by PCG64, whose state is that after the last draw when it returns; 0 where the compiler has no numbers of 128 bits.
int gsigpu_patient_bootstrap_pcg64(const BootstrapSample *sample, Pcg64 *pcg, uint16_t *weights, int32_t *cumulated,
                                   int32_t *called, int64_t *gains, BootstrapCounts *counts, float *curves) {
#ifdef __SIZEOF_INT128__
    Inlined generator(*pcg);
    all_replicates(*sample, generator, weights, cumulated, called, gains, counts, curves);
    generator.put_back(*pcg);
    return 1;
#else
    return 0;
#endif
}

}  // extern "C"
