// How many bits an image has when it is coded as JPEG Lossless, the compiled twin of gsigpu.dicom.reading.coded_length.
//
// Each sample has the bits of its difference from the prediction, modulo 65,536 (ITU-T T.81 H.1.2): the first from half
// of the range, the rest of the first row from the left, the first of each row from above, all others by the predictor
// that the scan selects (table H.1). A difference has those of its category, the bits of its magnitude, so it suffices to
// count how many magnitudes reach each power of two. Eight samples at a time, by vectors that every processor has. No
// state, no allocation, no Python: it is called without the GIL.

#include <stdint.h>
#include <string.h>

namespace {

constexpr int LANES = 8, BLOCK = 1024;
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
template <typename W> inline W half_difference(W a, W b) { return W((a >> 1) - (b >> 1) - (b & ~a & 1)); }
template <typename W> inline W half_sum(W a, W b) { return W((a >> 1) + (b >> 1) + (a & b & 1)); }

template <int SELECTION, typename W> inline W predicted(W left, W above, W corner) {
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

}  // namespace

extern "C" {

// image (rows, columns), a row every `stride` samples; lengths (17): bits of a difference of each category. Returns the
// sum, or -1 where there is no such predictor.
int64_t gsigpu_coded_bits(const uint16_t *image, int64_t rows, int64_t columns, int64_t stride,
                          const uint8_t *lengths, int selection, int first_prediction) {
    decltype(&bits_of_row<1>) const of_row[] = {bits_of_row<1>, bits_of_row<2>, bits_of_row<3>, bits_of_row<4>,
                                                bits_of_row<5>, bits_of_row<6>, bits_of_row<7>};
    if (selection < 1 || selection > 7) return -1;
    if (rows < 1 || columns < 1) return 0;
    int64_t n_bits = lengths[category(uint16_t(image[0] - first_prediction))];
    n_bits += bits_of_row<1>(image, image, columns, lengths);
    for (int64_t y = 1; y < rows; ++y) {
        const uint16_t *here = image + y * stride, *above = here - stride;
        n_bits += lengths[category(uint16_t(here[0] - above[0]))];
        n_bits += of_row[selection - 1](here, above, columns, lengths);
    }
    return n_bits;
}

}  // extern "C"
