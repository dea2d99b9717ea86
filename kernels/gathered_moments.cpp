// Moments of the values of many segments, gathered from rows by their columns; NumPy twin: gsigpu.regions.segment_statistics.
//
//     moments[p, s] = n, mean, Σ (x - mean)^j for j = 2, 3, 4   over x = row p at voxels[starts[s] … starts[s + 1]), no NaN
//
// Values are gathered once, some thousand at a time for all rows, so that columns and values stay in the cache: runs of
// columns one after the other, as regions have them, are found once and copied for every row. Sums of
// such a piece are about its own mean, and pieces are joined by Pébay's formulas (Sandia report SAND2008-6212, 2008),
// which never take a difference of large sums; their means are counted from the first value, so that a large offset takes
// no digits of them. All in float64, without fused operations: any x86 processor has the same bits.
// Of values that are whole numbers, as those of files are, sums of them and of their squares are exact without all this, in half the
// memory: what they are times a slope, and an intercept more, is the caller's.
// No state, no allocation, no Python: it is called without the GIL, by several threads.

#include <stdint.h>

#include "same_bits.h"

namespace {

constexpr int PIECE = 2048;  // 8 KB of columns and 8 KB of values
// Columns between the ends of runs, on average, from which on runs are copied: a shorter one costs more than its voxels.
constexpr int LONG_RUN = 6;
// Of whole numbers: longer ones, as less is done with each value; in so many lanes nothing of one exceeds 32 bits.
constexpr int WHOLE_PIECE = 8192;
constexpr int LONG_WHOLE_RUN = 64;  // as LONG_RUN: those are not even copied
// Sums are made of so many values side by side, in one vector or in two, which makes no difference to them.
constexpr int LANES = 8;

typedef int32_t Columns __attribute__((vector_size(32)));
typedef Columns UnalignedColumns __attribute__((aligned(4), may_alias));
typedef char BytesCopied __attribute__((vector_size(32)));
typedef BytesCopied UnalignedCopied __attribute__((aligned(1), may_alias));

template <int N>
struct Lanes {
    typedef double Doubles __attribute__((vector_size(8 * N)));
    typedef float Floats __attribute__((vector_size(4 * N)));
    typedef Floats UnalignedFloats __attribute__((aligned(4), may_alias));
    static constexpr int PARTS = LANES / N;
};

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

INLINE double total(const Lanes<4>::Doubles *sums) {
    const Lanes<4>::Doubles sum = sums[0] + sums[1];
    return (sum[0] + sum[1]) + (sum[2] + sum[3]);
}

INLINE double total(const Lanes<8>::Doubles *sums) {
    const Lanes<8>::Doubles &sum = sums[0];
    return ((sum[0] + sum[4]) + (sum[1] + sum[5])) + ((sum[2] + sum[6]) + (sum[3] + sum[7]));
}

template <int N>
INLINE void load(typename Lanes<N>::Doubles &to, const float *x) {
    to = __builtin_convertvector(*(const typename Lanes<N>::UnalignedFloats *)x, typename Lanes<N>::Doubles);
}

// Of the values as they are, and from `origin` on.
template <int N>
INLINE void sums_of(const float *x, int n, double origin, double &sum, double &from_origin) {
    typename Lanes<N>::Doubles plain[Lanes<N>::PARTS] = {}, shifted[Lanes<N>::PARTS] = {};
    int i = 0;
    for (; i + LANES <= n; i += LANES)
        for (int part = 0; part < Lanes<N>::PARTS; ++part) {
            typename Lanes<N>::Doubles values;
            load<N>(values, x + i + part * N);
            plain[part] += values;
            shifted[part] += values - origin;
        }
    sum = total(plain);
    from_origin = total(shifted);
    for (; i < n; ++i) {
        sum += x[i];
        from_origin += x[i] - origin;
    }
}

// mean : from `origin` on
template <int ORDER, int N>
INLINE Moments about_own_mean(const float *x, int n, double mean, double origin) {
    typename Lanes<N>::Doubles s2[Lanes<N>::PARTS] = {}, s3[Lanes<N>::PARTS] = {}, s4[Lanes<N>::PARTS] = {};
    int i = 0;
    for (; i + LANES <= n; i += LANES)
        for (int part = 0; part < Lanes<N>::PARTS; ++part) {
            typename Lanes<N>::Doubles d;
            load<N>(d, x + i + part * N);
            d = d - origin - mean;
            const typename Lanes<N>::Doubles square = d * d;
            s2[part] += square;
            if (ORDER == 4) {
                s3[part] += square * d;
                s4[part] += square * square;
            }
        }
    Moments moments = {double(n), mean, total(s2), total(s3), total(s4)};
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
    const int32_t *voxels;
    const int64_t *starts;
    int64_t n_segments;
    float *in_order;  // (rows, voxels of all segments), or null
    SoFar *so_far;    // (rows, segments)
};

// Whether each of eight columns is the next of the one before it.
INLINE bool eight_follow(const int32_t *columns) {
    const Columns apart = *(const UnalignedColumns *)columns - *(const UnalignedColumns *)(columns - 1) - 1;
    uint64_t parts[4];
    __builtin_memcpy(parts, &apart, sizeof parts);
    return !(parts[0] | parts[1] | parts[2] | parts[3]);
}

// Runs of columns that follow each other: where each begins, and behind the last one. Returns how many.
INLINE int runs_of(const int32_t *columns, int n, int *begins) {
    constexpr int STEP = sizeof(Columns) / sizeof(int32_t);
    int n_runs = 0;
    begins[0] = 0;
    for (int i = 1; i < n;) {
        if (i + STEP <= n && eight_follow(columns + i)) {
            i += STEP;
            continue;
        }
        for (const int end = i + STEP < n ? i + STEP : n; i < end; ++i) {
            begins[n_runs + 1] = i;
            n_runs += columns[i] != columns[i - 1] + 1;
        }
    }
    begins[n_runs + 1] = n;
    return n_runs + 1;
}

template <typename T>
INLINE void copy(T *to, const T *from, int n) {
    constexpr int STEP = sizeof(UnalignedCopied) / sizeof(T);
    int i = 0;
    for (; i + STEP <= n; i += STEP) *(UnalignedCopied *)(to + i) = *(const UnalignedCopied *)(from + i);
    if (n >= STEP)  // the last ones again, with what lies before them
        *(UnalignedCopied *)(to + n - STEP) = *(const UnalignedCopied *)(from + n - STEP);
    else
        for (; i < n; ++i) to[i] = from[i];
}

template <typename T>
INLINE void gather(T *x, const T *row, const int32_t *columns, int n, const int *begins, int n_runs) {
    if (n_runs * LONG_RUN > n) {
        for (int i = 0; i < n; ++i) x[i] = row[columns[i]];
        return;
    }
    for (int r = 0; r < n_runs; ++r) copy(x + begins[r], row + columns[begins[r]], begins[r + 1] - begins[r]);
}

template <int ORDER, int N>
INLINE void add_piece(SoFar &to, const float *x, int n, float *room) {
    double origin = to.moments.n == 0.0 ? x[0] : to.origin, sum, from_origin;
    sums_of<N>(x, n, origin, sum, from_origin);
    if (sum != sum) {  // not a number among them
        __builtin_memmove(room, x, sizeof(float) * n);
        x = room;
        n = without_nan(room, n);
        if (!n) return;
        if (to.moments.n == 0.0) origin = x[0];
        sums_of<N>(x, n, origin, sum, from_origin);
    }
    to.origin = origin;
    Sum::add(to.sum, sum);
    Sum::add(to.from_origin, from_origin);
    join<ORDER>(to.moments, about_own_mean<ORDER, N>(x, n, from_origin / n, origin));
    to.moments.mean = (to.from_origin.high + to.from_origin.low) / to.moments.n;
}

template <int ORDER, int N>
INLINE void run(const Job &job) {
    float room[PIECE];
    int begins[PIECE + 1];
    const int64_t n_voxels = job.starts[job.n_segments];
    for (int64_t s = 0; s < job.n_segments; ++s) {
        for (int64_t p = 0; p < job.n_rows; ++p) job.so_far[p * job.n_segments + s] = {};
        for (int64_t first = job.starts[s]; first < job.starts[s + 1]; first += PIECE) {
            const int64_t left = job.starts[s + 1] - first;
            const int n = int(left < PIECE ? left : PIECE);
            const int32_t *columns = job.voxels + first;
            const int n_runs = runs_of(columns, n, begins);
            for (int64_t p = 0; p < job.n_rows; ++p) {
                const float *row = job.values + job.rows[p] * job.row_length;
                const float *x = row + columns[0];
                if (job.in_order || n_runs > 1) {
                    float *gathered = job.in_order ? job.in_order + p * n_voxels + first : room;
                    gather(gathered, row, columns, n, begins, n_runs);
                    x = gathered;
                }
                add_piece<ORDER, N>(job.so_far[p * job.n_segments + s], x, n, room);
            }
        }
        for (int64_t p = 0; p < job.n_rows; ++p) {
            SoFar &to = job.so_far[p * job.n_segments + s];
            if (to.moments.n > 0.0) to.moments.mean = (to.sum.high + to.sum.low) / to.moments.n;
        }
    }
}

template <int N>
INLINE void run_order(const Job &job, int order) {
    if (order == 4)
        run<4, N>(job);
    else
        run<2, N>(job);
}

// Sums of whole numbers in vectors of N.
template <int N>
struct Whole {
    typedef int16_t Stored __attribute__((vector_size(2 * N)));
    typedef Stored UnalignedStored __attribute__((aligned(2), may_alias));
    typedef int32_t Words __attribute__((vector_size(4 * N)));
    typedef uint32_t UnsignedWords __attribute__((vector_size(4 * N)));
};

struct WholeSums {
    int64_t n, sum, squares;
};

// Those in low … high count for none. n <= WHOLE_PIECE; squares go in two halves.
template <int N, bool HAS_PADDING>
INLINE void add_whole_of(WholeSums &to, const int16_t *x, int n, int32_t low, int32_t high) {
    typedef typename Whole<N>::Words Words;
    typedef typename Whole<N>::UnsignedWords UnsignedWords;
    Words n_out = {}, sums = {};
    UnsignedWords low_halves = {}, high_halves = {};
    int i = 0;
    for (; i + N <= n; i += N) {
        Words values = __builtin_convertvector(*(const typename Whole<N>::UnalignedStored *)(x + i), Words);
        if (HAS_PADDING) {
            const Words is_out = (values >= low) & (values <= high);
            n_out -= is_out;
            values &= ~is_out;
        }
        sums += values;
        const UnsignedWords squares = (UnsignedWords)(values * values);
        low_halves += squares & 0xFFFF;
        high_halves += squares >> 16;
    }
    to.n += n;
    for (int k = 0; k < N; ++k) {
        to.n -= n_out[k];
        to.sum += sums[k];
        to.squares += int64_t(low_halves[k]) + (int64_t(high_halves[k]) << 16);
    }
    for (; i < n; ++i) {
        const int64_t value = x[i];
        if (HAS_PADDING && value >= low && value <= high) {
            --to.n;
        } else {
            to.sum += value;
            to.squares += value * value;
        }
    }
}

template <int N>
INLINE void add_whole(WholeSums &to, const int16_t *x, int n, int16_t low, int16_t high) {
    if (low > high)
        add_whole_of<N, false>(to, x, n, low, high);
    else
        add_whole_of<N, true>(to, x, n, low, high);
}

struct WholeJob {
    const int16_t *stored;
    int64_t row_length, n_rows;
    const int32_t *voxels;
    const int64_t *starts;
    int64_t n_segments;
    const int16_t *padding;  // (rows, 2)
    double *moments;         // (rows, segments, 3)
};

template <int N>
INLINE void run_whole(const WholeJob &job) {
    int16_t room[WHOLE_PIECE];
    int begins[WHOLE_PIECE + 1];
    for (int64_t s = 0; s < job.n_segments; ++s) {
        // Sums lie where the moments of the segment are going to be.
        const auto sums_of_row = [&](int64_t p) { return (int64_t *)(void *)(job.moments + 3 * (p * job.n_segments + s)); };
        for (int64_t p = 0; p < job.n_rows; ++p) __builtin_memset(sums_of_row(p), 0, sizeof(WholeSums));
        for (int64_t first = job.starts[s]; first < job.starts[s + 1]; first += WHOLE_PIECE) {
            const int64_t left = job.starts[s + 1] - first;
            const int n = int(left < WHOLE_PIECE ? left : WHOLE_PIECE);
            const int32_t *columns = job.voxels + first;
            const int n_runs = runs_of(columns, n, begins);
            for (int64_t p = 0; p < job.n_rows; ++p) {
                const int16_t *row = job.stored + p * job.row_length;
                WholeSums sums;
                __builtin_memcpy(&sums, sums_of_row(p), sizeof sums);
                const int16_t low = job.padding[2 * p], high = job.padding[2 * p + 1];
                if (n_runs * LONG_WHOLE_RUN > n) {
                    gather(room, row, columns, n, begins, n_runs);
                    add_whole<N>(sums, room, n, low, high);
                } else {  // sums of whole numbers are the same however they are made
                    for (int r = 0; r < n_runs; ++r)
                        add_whole<N>(sums, row + columns[begins[r]], begins[r + 1] - begins[r], low, high);
                }
                __builtin_memcpy(sums_of_row(p), &sums, sizeof sums);
            }
        }
        for (int64_t p = 0; p < job.n_rows; ++p) {
            WholeSums sums;
            __builtin_memcpy(&sums, sums_of_row(p), sizeof sums);
            double *moments = job.moments + 3 * (p * job.n_segments + s);
            const double n = double(sums.n);
            const __int128 apart = (__int128)sums.n * sums.squares - (__int128)sums.sum * sums.sum;
            moments[0] = n;
            moments[1] = sums.n ? double(sums.sum) / n : 0.0;
            moments[2] = sums.n ? double(apart) / n : 0.0;
        }
    }
}

void run_plain(const Job &job, int order) { run_order<4>(job, order); }
void run_whole_plain(const WholeJob &job) { run_whole<8>(job); }

#if defined(__x86_64__)
__attribute__((target("avx2"))) void run_avx2(const Job &job, int order) { run_order<4>(job, order); }
__attribute__((target("avx512f"))) void run_avx512(const Job &job, int order) { run_order<8>(job, order); }
__attribute__((target("avx2"))) void run_whole_avx2(const WholeJob &job) { run_whole<8>(job); }
#endif

}  // namespace

extern "C" {

// moments (n_rows, n_segments, 10), overwritten: n, mean, three sums (the last two 0 for order 2), and five numbers of its own.
// Columns must lie within the rows.
// set : the number of the set of instructions, as in linear_maps.cpp; all give the same bits
void gsigpu_gathered_moments(int set, const float *values, int64_t row_length, const int64_t *rows, int64_t n_rows,
                             const int32_t *voxels, const int64_t *starts, int64_t n_segments, int order,
                             float *in_order, double *moments) {
    const Job job = {values, row_length, rows, n_rows, voxels, starts, n_segments, in_order,
                     reinterpret_cast<SoFar *>(moments)};
#if defined(__x86_64__)
    if (set == 2 && __builtin_cpu_supports("avx512f")) return run_avx512(job, order);
    if (set && __builtin_cpu_supports("avx2")) return run_avx2(job, order);
#endif
    (void)set;
    run_plain(job, order);
}

// As before, of whole numbers: stored (n_rows, row_length), all its rows. What lies in padding (n_rows, 2), low to high, counts for
// none; low > high for no such range. moments (n_rows, n_segments, 3), overwritten: n, mean, Σ (x - mean)², each rounded once.
void gsigpu_whole_moments(int set, const int16_t *stored, int64_t row_length, int64_t n_rows, const int32_t *voxels,
                          const int64_t *starts, int64_t n_segments, const int16_t *padding, double *moments) {
    const WholeJob job = {stored, row_length, n_rows, voxels, starts, n_segments, padding, moments};
#if defined(__x86_64__)
    if (set && __builtin_cpu_supports("avx2")) return run_whole_avx2(job);  // wider vectors are no faster
#endif
    (void)set;
    run_whole_plain(job);
}

}  // extern "C"
