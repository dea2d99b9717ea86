// Moments of the values of many segments, gathered from rows by their columns; NumPy twin: gsigpu.regions.segment_statistics.
//
//     moments[p, s] = n, mean, Σ (x - mean)^j for j = 2, 3, 4   over x = row p at voxels[starts[s] … starts[s + 1]), no NaN
//
// Values are gathered once, some thousand at a time for all rows, so that columns and values stay in the cache; sums of
// such a piece are about its own mean, and pieces are joined by Pébay's formulas (Sandia report SAND2008-6212, 2008),
// which never take a difference of large sums; their means are counted from the first value, so that a large offset takes
// no digits of them. All in float64, without fused operations: any x86 processor has the same bits.
// No state, no allocation, no Python: it is called without the GIL, by several threads.

#include <stdint.h>

#define INLINE static inline __attribute__((always_inline))

namespace {

constexpr int PIECE = 2048;  // 16 KB of columns and 8 KB of values
constexpr int LANES = 4;

typedef double Doubles __attribute__((vector_size(8 * LANES)));
typedef float Floats __attribute__((vector_size(4 * LANES)));
typedef Floats UnalignedFloats __attribute__((aligned(4), may_alias));

struct Moments {
    double n, mean, m2, m3, m4;
};

// How much of a sum is lost to rounding is carried along (Neumaier): the mean of millions is right to the last bit.
struct Sum {
    double high, low;

    INLINE void add(Sum &to, double x) {
        const double sum = to.high + x;
        const bool is_larger = __builtin_fabs(to.high) >= __builtin_fabs(x);
        to.low += is_larger ? (to.high - sum) + x : (x - sum) + to.high;
        to.high = sum;
    }
};

// Values without NaN, moved together.
INLINE int without_nan(float *x, int n) {
    int n_valid = 0;
    for (int i = 0; i < n; ++i) {
        x[n_valid] = x[i];
        n_valid += x[i] == x[i];
    }
    return n_valid;
}

INLINE double total(const Doubles &a, const Doubles &b) {
    const Doubles sum = a + b;
    return (sum[0] + sum[1]) + (sum[2] + sum[3]);
}

INLINE void load(Doubles &to, const float *x) { to = __builtin_convertvector(*(const UnalignedFloats *)x, Doubles); }

// Of the values as they are, and from `origin` on.
INLINE void sums_of(const float *x, int n, double origin, double &sum, double &from_origin) {
    Doubles plain[2] = {}, shifted[2] = {};
    int i = 0;
    for (; i + 2 * LANES <= n; i += 2 * LANES)
        for (int half = 0; half < 2; ++half) {
            Doubles values;
            load(values, x + i + half * LANES);
            plain[half] += values;
            shifted[half] += values - origin;
        }
    sum = total(plain[0], plain[1]);
    from_origin = total(shifted[0], shifted[1]);
    for (; i < n; ++i) {
        sum += x[i];
        from_origin += x[i] - origin;
    }
}

// mean : from `origin` on
template <int ORDER>
INLINE Moments about_own_mean(const float *x, int n, double mean, double origin) {
    Doubles s2[2] = {}, s3[2] = {}, s4[2] = {};
    int i = 0;
    for (; i + 2 * LANES <= n; i += 2 * LANES)
        for (int half = 0; half < 2; ++half) {
            Doubles d;
            load(d, x + i + half * LANES);
            d = d - origin - mean;
            const Doubles square = d * d;
            s2[half] += square;
            if (ORDER == 4) {
                s3[half] += square * d;
                s4[half] += square * square;
            }
        }
    Moments moments = {double(n), mean, total(s2[0], s2[1]), total(s3[0], s3[1]), total(s4[0], s4[1])};
    for (; i < n; ++i) {
        const double d = x[i] - origin - mean, square = d * d;
        moments.m2 += square;
        if (ORDER == 4) {
            moments.m3 += square * d;
            moments.m4 += square * square;
        }
    }
    return moments;
}

template <int ORDER>
INLINE void join(Moments &a, const Moments &b) {
    if (a.n == 0.0) {
        a = b;
        return;
    }
    const double n = a.n + b.n, d = b.mean - a.mean, share = d / n, product = a.n * b.n;
    if (ORDER == 4) {
        a.m4 += b.m4 + d * share * share * share * product * (a.n * a.n - product + b.n * b.n) +
                6.0 * share * share * (a.n * a.n * b.m2 + b.n * b.n * a.m2) + 4.0 * share * (a.n * b.m3 - b.n * a.m3);
        a.m3 += b.m3 + d * share * share * product * (a.n - b.n) + 3.0 * share * (a.n * b.m2 - b.n * a.m2);
    }
    a.m2 += b.m2 + d * share * product;
    a.n = n;  // the mean follows from the sum
}

// Of a segment and row so far.
struct SoFar {
    Moments moments;
    Sum sum, from_origin;
    double origin;
};

// The numbers of SoFar that the caller gets, and all of them; between pieces they lie in the caller's memory.
static_assert(sizeof(SoFar) == 10 * sizeof(double), "gsigpu/backends/compiled_moments.py counts them");

struct Job {
    const float *values;
    int64_t row_length;
    const int64_t *rows;
    int64_t n_rows;
    const int64_t *voxels, *starts;
    int64_t n_segments;
    float *in_order;  // (rows, voxels of all segments), or null
    SoFar *so_far;    // (rows, segments)
};

template <int ORDER>
INLINE void run(const Job &job) {
    float x[PIECE];
    const int64_t n_voxels = job.starts[job.n_segments];
    for (int64_t s = 0; s < job.n_segments; ++s) {
        for (int64_t p = 0; p < job.n_rows; ++p) job.so_far[p * job.n_segments + s] = {};
        for (int64_t first = job.starts[s]; first < job.starts[s + 1]; first += PIECE) {
            const int64_t left = job.starts[s + 1] - first;
            const int n = int(left < PIECE ? left : PIECE);
            const int64_t *columns = job.voxels + first;
            for (int64_t p = 0; p < job.n_rows; ++p) {
                const float *row = job.values + job.rows[p] * job.row_length;
                bool has_nan = false;
                for (int i = 0; i < n; ++i) x[i] = row[columns[i]];
                for (int i = 0; i < n; ++i) has_nan |= x[i] != x[i];
                if (job.in_order) __builtin_memcpy(job.in_order + p * n_voxels + first, x, sizeof(float) * n);
                const int n_valid = has_nan ? without_nan(x, n) : n;
                if (!n_valid) continue;
                SoFar &to = job.so_far[p * job.n_segments + s];
                if (to.moments.n == 0.0) to.origin = x[0];
                double sum, from_origin;
                sums_of(x, n_valid, to.origin, sum, from_origin);
                Sum::add(to.sum, sum);
                Sum::add(to.from_origin, from_origin);
                join<ORDER>(to.moments, about_own_mean<ORDER>(x, n_valid, from_origin / n_valid, to.origin));
                to.moments.mean = (to.from_origin.high + to.from_origin.low) / to.moments.n;
            }
        }
        for (int64_t p = 0; p < job.n_rows; ++p) {
            SoFar &to = job.so_far[p * job.n_segments + s];
            if (to.moments.n > 0.0) to.moments.mean = (to.sum.high + to.sum.low) / to.moments.n;
        }
    }
}

INLINE void run_order(const Job &job, int order) {
    if (order == 4)
        run<4>(job);
    else
        run<2>(job);
}

void run_plain(const Job &job, int order) { run_order(job, order); }

#if defined(__x86_64__)
__attribute__((target("avx2"))) void run_avx2(const Job &job, int order) { run_order(job, order); }
#endif

}  // namespace

extern "C" {

// moments (n_rows, n_segments, 10), overwritten: n, mean, three sums (the last two 0 for order 2), and five numbers of its own.
// Columns must lie within the rows.
void gsigpu_gathered_moments(const float *values, int64_t row_length, const int64_t *rows, int64_t n_rows,
                             const int64_t *voxels, const int64_t *starts, int64_t n_segments, int order,
                             float *in_order, double *moments) {
    const Job job = {values, row_length, rows, n_rows, voxels, starts, n_segments, in_order,
                     reinterpret_cast<SoFar *>(moments)};
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx2")) return run_avx2(job, order);
#endif
    run_plain(job, order);
}

}  // extern "C"
