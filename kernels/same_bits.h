// For loops whose numbers are to be the same bits on every processor and in every set of instructions: a product and a sum are
// rounded each; and what is INLINE becomes part of its caller, whatever set that is compiled for.
// To be included behind the standard's headers.

#ifdef __clang__
#pragma clang fp contract(off)
#else
#pragma GCC optimize("fp-contract=off")
#endif

#define INLINE static inline __attribute__((always_inline))
