// One pass of the distance transform (distance_transform.cpp) with the vectors of one instruction set.
//
// SET is the set's number, NAME its namespace.

namespace NAME {

constexpr int BYTES = SET == AVX2 ? 32 : 16;
constexpr int LANES = BYTES / 8;
constexpr int VECTORS = 4;
constexpr int WIDTH = LANES * VECTORS;  // lines at once

typedef double Doubles __attribute__((vector_size(BYTES)));
typedef Doubles UnalignedDoubles __attribute__((aligned(8), may_alias));

INLINE Doubles load(const double *from) { return *(const UnalignedDoubles *)from; }
INLINE void store(double *to, Doubles values) { *(UnalignedDoubles *)to = values; }

#if SET == AVX2
INLINE Doubles smaller(Doubles a, Doubles b) { return (Doubles)_mm256_min_pd((__m256d)a, (__m256d)b); }
INLINE Doubles larger(Doubles a, Doubles b) { return (Doubles)_mm256_max_pd((__m256d)a, (__m256d)b); }
INLINE Doubles root(Doubles a) { return (Doubles)_mm256_sqrt_pd((__m256d)a); }
INLINE bool any_above(Doubles a, double limit) {
    return _mm256_movemask_pd(_mm256_cmp_pd((__m256d)a, _mm256_set1_pd(limit), _CMP_GT_OQ)) != 0;
}
#elif SET == SSE2
INLINE Doubles smaller(Doubles a, Doubles b) { return (Doubles)_mm_min_pd((__m128d)a, (__m128d)b); }
INLINE Doubles larger(Doubles a, Doubles b) { return (Doubles)_mm_max_pd((__m128d)a, (__m128d)b); }
INLINE Doubles root(Doubles a) { return (Doubles)_mm_sqrt_pd((__m128d)a); }
INLINE bool any_above(Doubles a, double limit) {
    return _mm_movemask_pd(_mm_cmpgt_pd((__m128d)a, _mm_set1_pd(limit))) != 0;
}
#else
INLINE Doubles smaller(Doubles a, Doubles b) { return (Doubles)vminq_f64((float64x2_t)a, (float64x2_t)b); }
INLINE Doubles larger(Doubles a, Doubles b) { return (Doubles)vmaxq_f64((float64x2_t)a, (float64x2_t)b); }
INLINE Doubles root(Doubles a) { return (Doubles)vsqrtq_f64((float64x2_t)a); }
INLINE bool any_above(Doubles a, double limit) { return vmaxvq_f64((float64x2_t)a) > limit; }
#endif

// `WIDTH` lines beside each other, see `pass_of_line`.
void pass_of_lines(const double *from, double *to, const Lines &lines) {
    for (int64_t place = 0; place < lines.length; ++place) {
        const double *here = from + place * lines.stride;
        Doubles best[VECTORS];
        for (int v = 0; v < VECTORS; ++v) best[v] = load(here + v * LANES);
        for (int64_t k = lines.least_step(place); lines.reaches(place, k); ++k) {
            const double across = double(k) * lines.step, squared = across * across;
            if (!any_above(larger(larger(best[0], best[1]), larger(best[2], best[3])), squared)) break;
            if (lines.holds(place - k))
                for (int v = 0; v < VECTORS; ++v)
                    best[v] = smaller(load(here - k * lines.stride + v * LANES) + squared, best[v]);
            if (lines.holds(place + k))
                for (int v = 0; v < VECTORS; ++v)
                    best[v] = smaller(load(here + k * lines.stride + v * LANES) + squared, best[v]);
        }
        double *there = to + place * lines.stride;
        for (int v = 0; v < VECTORS; ++v) store(there + v * LANES, lines.is_last ? root(best[v]) : best[v]);
    }
}

// All lines: the last ones twice where they are no multiple of a vector, one by one where there are few.
void pass(const double *from, double *to, int64_t n_lines, const Lines &lines) {
    if (n_lines < WIDTH) {
        for (int64_t i = 0; i < n_lines; ++i) pass_of_line(from + i, to + i, lines);
        return;
    }
    for (int64_t i = 0; i < n_lines; i += WIDTH) {
        const int64_t first = i + WIDTH <= n_lines ? i : n_lines - WIDTH;
        pass_of_lines(from + first, to + first, lines);
    }
}

}  // namespace NAME

#undef SET
#undef NAME
