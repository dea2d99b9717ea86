// How many bits an image has when it is coded as JPEG Lossless, the compiled twin of gsigpu.dicom.reading.coded_length;
// and how many coded bytes a frame holds, that of gsigpu.dicom.reading.frame_headers.
//
// Each sample has the bits of its difference from the prediction, modulo 65,536 (ITU-T T.81 H.1.2): the first from half
// of the range, the rest of the first row from the left, the first of each row from above, all others by the predictor
// that the scan selects (table H.1). A difference has those of its category, the bits of its magnitude. Vectors that every
// processor has count, eight samples at a time, how many magnitudes reach each power of two. AVX2 looks the category up,
// 32 samples at a time: of each half byte of the magnitude, in a table of sixteen, and the largest of the four counts.
// No state, no allocation, no Python: it is called without the GIL.

#include <stdint.h>
#include <string.h>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#define INLINE inline __attribute__((always_inline))
// How such vectors would be passed does not matter: what takes them is inlined.
#pragma GCC diagnostic ignored "-Wpsabi"

namespace {

constexpr int LANES = 8, BLOCK = 1024;
constexpr int AVX2 = 1, AVX512 = 2;  // numbers of sets, as in linear_maps.cpp
typedef uint16_t Words __attribute__((vector_size(2 * LANES)));
typedef int16_t SignedWords __attribute__((vector_size(2 * LANES)));

inline SignedWords limit_of(int power) {
    const int16_t limit = int16_t((1 << power) - 2);
    return SignedWords{limit, limit, limit, limit, limit, limit, limit, limit};
}

inline Words load(const uint16_t *from) {
    Words words;
    memcpy(&words, from, sizeof words);
    return words;
}

// floor((a - b) / 2) and floor((a + b) / 2) modulo 65,536, though a - b and a + b have 17 bits.
template <typename W> INLINE W half_difference(const W &a, const W &b) { return W((a >> 1) - (b >> 1) - (b & ~a & 1)); }
template <typename W> INLINE W half_sum(const W &a, const W &b) { return W((a >> 1) + (b >> 1) + (a & b & 1)); }

template <int SELECTION, typename W> INLINE W predicted(const W &left, const W &above, const W &corner) {
    switch (SELECTION) {
        case 1: return left;
        case 2: return above;
        case 3: return corner;
        case 4: return W(left + above - corner);
        case 5: return W(left + half_difference(above, corner));
        case 6: return W(above + half_difference(left, corner));
        default: return half_sum(left, above);
    }
}

// Bits of the magnitude of a difference modulo 65,536: 0 to 16.
inline int category(uint16_t difference) {
    const uint32_t magnitude = difference < 0x8000 ? difference : 0x10000u - difference;
    return magnitude ? 32 - __builtin_clz(magnitude) : 0;
}

// Bits of n vectors of magnitudes, each less one, so that 32,768 is a signed word too; `all` has the bits of any of them.
int64_t bits_of_magnitudes(const Words *less_one, int n, Words all, const uint8_t *lengths) {
    uint16_t any = 0;
    for (int lane = 0; lane < LANES; ++lane) any |= all[lane];
    const int highest = any ? 32 - __builtin_clz(any) : 0;
    int64_t n_bits = int64_t(n) * LANES * lengths[0];
    for (int power = 0; power < highest; power += 4) {  // four at a time: counts that do not wait for each other
        const SignedWords first = limit_of(power), second = limit_of(power + 1);
        const SignedWords third = limit_of(power + 2), fourth = limit_of(power + 3);
        Words one{}, two{}, three{}, four{};
        for (int i = 0; i < n; ++i) {
            const SignedWords here = SignedWords(less_one[i]);
            one -= Words(here > first);
            two -= Words(here > second);
            three -= Words(here > third);
            four -= Words(here > fourth);
        }
        const Words reached[] = {one, two, three, four};
        for (int k = 0; k < 4; ++k) {
            int64_t n_reached = 0;
            for (int lane = 0; lane < LANES; ++lane) n_reached += reached[k][lane];
            n_bits += n_reached * (lengths[power + k + 1] - lengths[power + k]);
        }
    }
    return n_bits;
}

// Of a row without its first sample.
template <int SELECTION>
int64_t bits_of_row(const uint16_t *here, const uint16_t *above, int64_t n, const uint8_t *lengths) {
    Words less_one[BLOCK / LANES];
    int64_t n_bits = 0, x = 1;
    while (x + LANES <= n) {
        Words all{};
        int filled = 0;
        for (; filled < BLOCK / LANES && x + LANES <= n; ++filled, x += LANES) {
            const Words prediction = predicted<SELECTION>(load(here + x - 1), load(above + x), load(above + x - 1));
            const Words difference = load(here + x) - prediction;
            const Words sign = Words(SignedWords(difference) < 0);
            const Words magnitude = (difference ^ sign) - sign;
            all |= magnitude;
            less_one[filled] = magnitude - 1;
        }
        n_bits += bits_of_magnitudes(less_one, filled, all, lengths);
    }
    for (; x < n; ++x)
        n_bits += lengths[category(uint16_t(here[x] - predicted<SELECTION>(here[x - 1], above[x], above[x - 1])))];
    return n_bits;
}

#if defined(__x86_64__)
constexpr int WIDE = 16;
typedef uint16_t WideWords __attribute__((vector_size(2 * WIDE)));

#define WITH_AVX2 __attribute__((target("avx2")))

WITH_AVX2 INLINE __m256i in_both_halves(const uint8_t *sixteen) {
    return _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)sixteen));
}

// Of WIDE samples from x on, without the first `n_skipped` of them, whose magnitudes are 0.
template <int SELECTION>
WITH_AVX2 INLINE __m256i magnitudes_avx2(const uint16_t *here, const uint16_t *above, int64_t x, int n_skipped) {
    WideWords sample, left, over, corner;
    memcpy(&sample, here + x, sizeof sample);
    memcpy(&left, here + x - 1, sizeof left);
    memcpy(&over, above + x, sizeof over);
    memcpy(&corner, above + x - 1, sizeof corner);
    WideWords difference = sample - predicted<SELECTION>(left, over, corner);
    if (n_skipped > 0) {
        const WideWords place = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
        difference &= WideWords(place >= uint16_t(n_skipped));
    }
    return _mm256_abs_epi16((__m256i)difference);
}

// As bits_of_row. What does not fill 32 samples is taken once more with samples before it, which are skipped.
template <int SELECTION>
WITH_AVX2 int64_t bits_of_row_avx2(const uint16_t *here, const uint16_t *above, int64_t n, const uint8_t *lengths) {
    if (n < 1 + 2 * WIDE) return bits_of_row<SELECTION>(here, above, n, lengths);
    static const uint8_t BITS[4][16] = {{0, 1, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 4, 4, 4, 4},
                                        {0, 5, 6, 6, 7, 7, 7, 7, 8, 8, 8, 8, 8, 8, 8, 8},
                                        {0, 9, 10, 10, 11, 11, 11, 11, 12, 12, 12, 12, 12, 12, 12, 12},
                                        {0, 13, 14, 14, 15, 15, 15, 15, 16, 16, 16, 16, 16, 16, 16, 16}};
    const __m256i first = in_both_halves(BITS[0]), second = in_both_halves(BITS[1]);
    const __m256i third = in_both_halves(BITS[2]), fourth = in_both_halves(BITS[3]);
    const __m256i of_category = in_both_halves(lengths), zero = _mm256_setzero_si256();
    const __m256i low_byte = _mm256_set1_epi16(0xFF), low_half = _mm256_set1_epi8(0x0F);
    __m256i sums = zero, any = zero;
    const int n_skipped = int((2 * WIDE - (n - 1) % (2 * WIDE)) % (2 * WIDE));
    for (int64_t x = 1; x < n; x += 2 * WIDE) {
        int skipped = 0;
        if (x + 2 * WIDE > n) {
            x = n - 2 * WIDE;
            skipped = n_skipped;
        }
        const __m256i one = magnitudes_avx2<SELECTION>(here, above, x, skipped);
        const __m256i two = magnitudes_avx2<SELECTION>(here, above, x + WIDE, skipped - WIDE);
        any = _mm256_or_si256(any, _mm256_or_si256(one, two));
        // The order of samples does not matter: packing mixes them.
        const __m256i low = _mm256_packus_epi16(_mm256_and_si256(one, low_byte), _mm256_and_si256(two, low_byte));
        const __m256i high = _mm256_packus_epi16(_mm256_srli_epi16(one, 8), _mm256_srli_epi16(two, 8));
        const __m256i low_up = _mm256_and_si256(_mm256_srli_epi16(low, 4), low_half);
        const __m256i high_up = _mm256_and_si256(_mm256_srli_epi16(high, 4), low_half);
        const __m256i of_low = _mm256_max_epu8(_mm256_shuffle_epi8(first, _mm256_and_si256(low, low_half)),
                                               _mm256_shuffle_epi8(second, low_up));
        const __m256i of_high = _mm256_max_epu8(_mm256_shuffle_epi8(third, _mm256_and_si256(high, low_half)),
                                                _mm256_shuffle_epi8(fourth, high_up));
        const __m256i categories = _mm256_max_epu8(of_low, of_high);
        sums = _mm256_add_epi64(sums, _mm256_sad_epu8(_mm256_shuffle_epi8(of_category, categories), zero));
    }
    // A table of sixteen has no category 16, that of a difference of 32,768.
    if (_mm256_movemask_epi8(any) & 0xAAAAAAAA) return bits_of_row<SELECTION>(here, above, n, lengths);
    uint64_t parts[4];
    memcpy(parts, &sums, sizeof parts);
    return int64_t(parts[0] + parts[1] + parts[2] + parts[3]) - int64_t(n_skipped) * lengths[0];
}
#endif

typedef int64_t (*OfRow)(const uint16_t *here, const uint16_t *above, int64_t n, const uint8_t *lengths);

OfRow row_function(int set, int selection) {
    static const OfRow PLAIN[] = {bits_of_row<1>, bits_of_row<2>, bits_of_row<3>, bits_of_row<4>,
                                  bits_of_row<5>, bits_of_row<6>, bits_of_row<7>};
#if defined(__x86_64__)
    static const OfRow WITH_TABLES[] = {bits_of_row_avx2<1>, bits_of_row_avx2<2>, bits_of_row_avx2<3>,
                                        bits_of_row_avx2<4>, bits_of_row_avx2<5>, bits_of_row_avx2<6>,
                                        bits_of_row_avx2<7>};
    if (set == AVX2 || set == AVX512) return WITH_TABLES[selection - 1];
#endif
    return PLAIN[selection - 1];
}

typedef uint8_t Bytes __attribute__((vector_size(16)));

inline Bytes load_bytes(const uint8_t *from) {
    Bytes bytes;
    memcpy(&bytes, from, sizeof bytes);
    return bytes;
}

inline bool any_byte(Bytes truth) {
    uint64_t halves[2];
    memcpy(halves, &truth, sizeof halves);
    return halves[0] | halves[1];
}

}  // namespace

extern "C" {

// set: of instructions, one that the processor has. image (rows, columns), a row every `stride` samples; lengths (17): bits of
// a difference of each category. Returns the sum, or -1 where there is no such predictor.
int64_t gsigpu_coded_bits(int set, const uint16_t *image, int64_t rows, int64_t columns, int64_t stride,
                          const uint8_t *lengths, int selection, int first_prediction) {
    if (selection < 1 || selection > 7) return -1;
    if (rows < 1 || columns < 1) return 0;
    const OfRow of_first_row = row_function(set, 1), of_row = row_function(set, selection);
    int64_t n_bits = lengths[category(uint16_t(image[0] - first_prediction))];
    n_bits += of_first_row(image, image, columns, lengths);
    for (int64_t y = 1; y < rows; ++y) {
        const uint16_t *here = image + y * stride, *above = here - stride;
        n_bits += lengths[category(uint16_t(here[0] - above[0]))];
        n_bits += of_row(here, above, columns, lengths);
    }
    return n_bits;
}

// Coded bytes of a frame of n bytes from `start` to the end marker FF D9, without the zero behind each FF and without fill
// bytes FF in front of the marker; -1 where there is no such marker.
int64_t gsigpu_coded_bytes(const uint8_t *frame, int64_t start, int64_t n) {
    constexpr int STEP = sizeof(Bytes), STEPS = 255;  // as many as a byte can count
    constexpr uint8_t MARK = 0xFF, END = 0xD9;
    int64_t at = start, n_stuffed = 0;
    for (bool found = false; !found && at + STEP < n;) {
        Bytes counts{};
        for (int i = 0; i < STEPS && at + STEP < n; ++i, at += STEP) {
            const Bytes marks = Bytes(load_bytes(frame + at) == MARK), next = load_bytes(frame + at + 1);
            if (any_byte(marks & Bytes(next == END))) {
                found = true;
                break;
            }
            counts -= marks & Bytes(next == 0);
        }
        for (int lane = 0; lane < STEP; ++lane) n_stuffed += counts[lane];
    }
    for (; at + 1 < n; ++at) {
        if (frame[at] != MARK) continue;
        if (frame[at + 1] == END) {
            while (at > start && frame[at - 1] == MARK) --at;
            return at - start - n_stuffed;
        }
        n_stuffed += frame[at + 1] == 0;
    }
    return -1;
}

}  // extern "C"
