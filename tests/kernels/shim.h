// CUDA as ordinary C++: enough of it to run one kernel's source, block by block and thread by thread.
// <cmath> is left out: it takes longer to compile than a kernel.
#pragma once
#include <cstring>
#include <type_traits>
#include <utility>

struct Index { unsigned x, y, z; };
static thread_local Index blockIdx, threadIdx, blockDim, gridDim;

#define __global__
#define __device__
#define __forceinline__ inline
#define __restrict__
#define __grid_constant__
#define __launch_bounds__(...)

#define fabsf __builtin_fabsf
#define fmaxf __builtin_fmaxf
#define fminf __builtin_fminf

static inline float __int_as_float(int bits) { float value; std::memcpy(&value, &bits, 4); return value; }
static inline int __float_as_int(float value) { int bits; std::memcpy(&bits, &value, 4); return bits; }
static inline unsigned __byte_perm(unsigned low, unsigned high, unsigned selector) {
    const unsigned long long bytes = (unsigned long long)high << 32 | low;
    unsigned result = 0;
    for (int i = 0; i < 4; ++i)
        result |= (unsigned)(bytes >> 8 * (selector >> 4 * i & 7) & 0xff) << 8 * i;
    return result;
}
template <class T> static inline T atomicAdd(T *at, T add) {
    const T before = *at;
    *at += add;
    return before;
}
