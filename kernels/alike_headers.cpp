// Which of some headers have the bytes of a known one but for a few elements, and where the values of these lie: what
// gsigpu.dicom.reading.header_template.HeaderTemplate.elements finds in each by itself.
//
// No state, no allocation, no Python: it is called without the GIL.

#include <stdint.h>
#include <string.h>

namespace {

constexpr int ANY = -1, QUIET = -2;  // roles of elements whose values are not wanted

// Runs of bytes that must be there, an element behind each but the last: n_length is what its length takes, 2 or 4 bytes, and
// 0 behind the last run; role is the place of its value among those that are wanted, or one of the roles above.
struct Pattern {
    int64_t n_pieces;
    const uint8_t *const *runs;
    const int64_t *n_run, *n_length, *role;
};

// Whether a private element's value is a note of gsigpu.dicom.reading.elements.energy_notes.
bool speaks_of_kev(const uint8_t *value, int64_t n) {
    static const uint8_t ITEM[] = {0xFE, 0xFF, 0x00, 0xE0};
    if (n > 64 || (n >= 4 && !memcmp(value, ITEM, 4))) return false;
    for (int64_t i = 0; i + 3 <= n; ++i)
        if ((value[i] | 32) == 'k' && (value[i + 1] | 32) == 'e' && (value[i + 2] | 32) == 'v') return true;
    return false;
}

// places: where the last run ends, then offset and length of each wanted value.
bool fits(const Pattern &pattern, const uint8_t *head, int64_t n, int64_t at, int64_t *places) {
    for (int64_t k = 0; k < pattern.n_pieces; ++k) {
        const int64_t n_run = pattern.n_run[k], n_length = pattern.n_length[k], role = pattern.role[k];
        if (n_run > n - at || memcmp(head + at, pattern.runs[k], size_t(n_run))) return false;
        at += n_run;
        if (n_length == 0) break;
        if (n_length > n - at) return false;
        uint32_t length = uint32_t(head[at]) | uint32_t(head[at + 1]) << 8;
        if (n_length == 4) length |= uint32_t(head[at + 2]) << 16 | uint32_t(head[at + 3]) << 24;
        at += n_length;
        if (int64_t(length) > n - at) return false;  // an undefined one among them
        if (role == QUIET && speaks_of_kev(head + at, length)) return false;
        if (role >= 0) {
            places[1 + 2 * role] = at;
            places[2 + 2 * role] = length;
        }
        at += length;
    }
    places[0] = at;
    return true;
}

}  // namespace

extern "C" {

// heads (n, n_apart) bytes, of which n_read (n) are there, -1 of none; all patterns begin at byte `start`. which (n): the first
// pattern that fits, looked for from the one that fitted last, or -1; places (n, n_places).
void gsigpu_alike_headers(int64_t n, const uint8_t *heads, int64_t n_apart, const int64_t *n_read, int64_t start,
                          const Pattern *patterns, int64_t n_patterns, int64_t n_places, int64_t *which, int64_t *places) {
    int64_t last = 0;
    for (int64_t i = 0; i < n; ++i) {
        which[i] = -1;
        for (int64_t tried = 0; tried < n_patterns && n_read[i] >= start; ++tried) {
            const int64_t p = (last + tried) % n_patterns;
            if (!fits(patterns[p], heads + i * n_apart, n_read[i], start, places + i * n_places)) continue;
            which[i] = last = p;
            break;
        }
    }
}

}  // extern "C"
