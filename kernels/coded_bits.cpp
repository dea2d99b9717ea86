// How many bits an image has when it is coded as JPEG Lossless, the compiled twin of gsigpu.dicom.reading.coded_length.
//
// Each sample has the bits of its difference from the prediction, modulo 65,536 (ITU-T T.81 H.1.2): the first from half
// of the range, the rest of the first row from the left, the first of each row from above, all others by the predictor
// that the scan selects (table H.1). No state, no allocation, no Python: it is called without the GIL.

#include <stdint.h>

namespace {

inline uint32_t predicted(int selection, uint32_t left, uint32_t above, uint32_t corner) {
    // Differences are halved as whole numbers with their sign, rounded down.
    const auto half = [](uint32_t a, uint32_t b) { return uint32_t((int32_t(a) - int32_t(b)) >> 1); };
    switch (selection) {
        case 1: return left;
        case 2: return above;
        case 3: return corner;
        case 4: return left + above - corner;
        case 5: return left + half(above, corner);
        case 6: return above + half(left, corner);
        default: return (left + above) >> 1;
    }
}

template <int SELECTION>
int64_t bits_of_row(const uint16_t *here, const uint16_t *above, int64_t n, const uint8_t *lengths) {
    int64_t n_bits = 0;
    for (int64_t x = 1; x < n; ++x)
        n_bits += lengths[uint16_t(here[x] - predicted(SELECTION, here[x - 1], above[x], above[x - 1]))];
    return n_bits;
}

}  // namespace

extern "C" {

// image (rows, columns), a row every `stride` samples; lengths (65536): bits of each difference. Returns the sum, or -1
// where there is no such predictor.
int64_t gsigpu_coded_bits(const uint16_t *image, int64_t rows, int64_t columns, int64_t stride,
                          const uint8_t *lengths, int selection, int first_prediction) {
    decltype(&bits_of_row<1>) const of_row[] = {bits_of_row<1>, bits_of_row<2>, bits_of_row<3>, bits_of_row<4>,
                                                bits_of_row<5>, bits_of_row<6>, bits_of_row<7>};
    if (selection < 1 || selection > 7) return -1;
    if (rows < 1 || columns < 1) return 0;
    int64_t n_bits = lengths[uint16_t(image[0] - first_prediction)] + bits_of_row<1>(image, image, columns, lengths);
    for (int64_t y = 1; y < rows; ++y) {
        const uint16_t *here = image + y * stride, *above = here - stride;
        n_bits += lengths[uint16_t(here[0] - above[0])] + of_row[selection - 1](here, above, columns, lengths);
    }
    return n_bits;
}

}  // extern "C"
