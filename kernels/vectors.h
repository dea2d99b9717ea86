// Vectors of one instruction set, for the loops of linear_maps_loop.h.
//
// SET is the set's number, NAME its namespace. FloatVector holds LANES floats, WordVector twice as
// many 16-bit words. All functions are inlined into the loops, which are compiled for the set.

#define INLINE static inline __attribute__((always_inline))

namespace NAME {

constexpr int BYTES = SET == AVX512 ? 64 : SET == AVX2 ? 32 : 16;
constexpr int LANES = BYTES / 4;

typedef float FloatVector __attribute__((vector_size(BYTES)));
typedef FloatVector UnalignedFloats __attribute__((aligned(4), may_alias));
typedef int16_t WordVector __attribute__((vector_size(BYTES)));
typedef WordVector UnalignedWords __attribute__((aligned(2), may_alias));
typedef uint16_t UnsignedWords __attribute__((vector_size(BYTES)));

INLINE WordVector load_words(const int16_t *from) { return *(const UnalignedWords *)from; }
INLINE void store_words(int16_t *to, WordVector words) { *(UnalignedWords *)to = words; }
INLINE void store_floats(float *to, FloatVector values) { *(UnalignedFloats *)to = values; }

// widen: LANES words as floats.
// narrow: two vectors as integers, rounded half to even; what an int16 cannot hold is -32768 or 32767.
// any: whether a comparison is true anywhere.
#if SET == AVX512
INLINE FloatVector widen(const int16_t *from) {
    return (FloatVector)_mm512_cvtepi32_ps(_mm512_cvtepi16_epi32(_mm256_loadu_si256((const __m256i *)from)));
}
INLINE WordVector narrow(FloatVector first, FloatVector second) {
    const __m256i low = _mm512_cvtsepi32_epi16(_mm512_cvtps_epi32((__m512)first));
    const __m256i high = _mm512_cvtsepi32_epi16(_mm512_cvtps_epi32((__m512)second));
    return (WordVector)_mm512_inserti64x4(_mm512_castsi256_si512(low), high, 1);
}
INLINE WordVector larger(WordVector a, WordVector b) { return (WordVector)_mm512_max_epi16((__m512i)a, (__m512i)b); }
INLINE WordVector smaller(WordVector a, WordVector b) { return (WordVector)_mm512_min_epi16((__m512i)a, (__m512i)b); }
INLINE UnsignedWords smaller(UnsignedWords a, UnsignedWords b) {
    return (UnsignedWords)_mm512_min_epu16((__m512i)a, (__m512i)b);
}
INLINE bool any(WordVector truth) { return _mm512_movepi16_mask((__m512i)truth) != 0; }
#elif SET == AVX2
INLINE FloatVector widen(const int16_t *from) {
    return (FloatVector)_mm256_cvtepi32_ps(_mm256_cvtepi16_epi32(_mm_loadu_si128((const __m128i *)from)));
}
INLINE WordVector narrow(FloatVector first, FloatVector second) {
    const __m256i mixed = _mm256_packs_epi32(_mm256_cvtps_epi32((__m256)first), _mm256_cvtps_epi32((__m256)second));
    return (WordVector)_mm256_permute4x64_epi64(mixed, 0xD8);
}
INLINE WordVector larger(WordVector a, WordVector b) { return (WordVector)_mm256_max_epi16((__m256i)a, (__m256i)b); }
INLINE WordVector smaller(WordVector a, WordVector b) { return (WordVector)_mm256_min_epi16((__m256i)a, (__m256i)b); }
INLINE UnsignedWords smaller(UnsignedWords a, UnsignedWords b) {
    return (UnsignedWords)_mm256_min_epu16((__m256i)a, (__m256i)b);
}
INLINE bool any(WordVector truth) { return _mm256_movemask_epi8((__m256i)truth) != 0; }
#elif SET == SSE2
INLINE FloatVector widen(const int16_t *from) {
    const __m128i words = _mm_loadl_epi64((const __m128i *)from);
    return (FloatVector)_mm_cvtepi32_ps(_mm_srai_epi32(_mm_unpacklo_epi16(words, words), 16));
}
INLINE WordVector narrow(FloatVector first, FloatVector second) {
    return (WordVector)_mm_packs_epi32(_mm_cvtps_epi32((__m128)first), _mm_cvtps_epi32((__m128)second));
}
INLINE WordVector larger(WordVector a, WordVector b) { return (WordVector)_mm_max_epi16((__m128i)a, (__m128i)b); }
INLINE WordVector smaller(WordVector a, WordVector b) { return (WordVector)_mm_min_epi16((__m128i)a, (__m128i)b); }
INLINE UnsignedWords smaller(UnsignedWords a, UnsignedWords b) {
    return a - (UnsignedWords)_mm_subs_epu16((__m128i)a, (__m128i)b);
}
INLINE bool any(WordVector truth) { return _mm_movemask_epi8((__m128i)truth) != 0; }
#else
INLINE FloatVector widen(const int16_t *from) { return (FloatVector)vcvtq_f32_s32(vmovl_s16(vld1_s16(from))); }
INLINE WordVector narrow(FloatVector first, FloatVector second) {
    return (WordVector)vcombine_s16(vqmovn_s32(vcvtnq_s32_f32((float32x4_t)first)),
                                    vqmovn_s32(vcvtnq_s32_f32((float32x4_t)second)));
}
INLINE WordVector larger(WordVector a, WordVector b) { return (WordVector)vmaxq_s16((int16x8_t)a, (int16x8_t)b); }
INLINE WordVector smaller(WordVector a, WordVector b) { return (WordVector)vminq_s16((int16x8_t)a, (int16x8_t)b); }
INLINE UnsignedWords smaller(UnsignedWords a, UnsignedWords b) {
    return (UnsignedWords)vminq_u16((uint16x8_t)a, (uint16x8_t)b);
}
INLINE bool any(WordVector truth) { return vmaxvq_u16((uint16x8_t)truth) != 0; }
#endif

}  // namespace NAME
