// CUDA as ordinary C++: enough of it to run one kernel's source, block by block and thread by thread.
#pragma once
#include <cmath>
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

static inline float __int_as_float(int bits) { float value; std::memcpy(&value, &bits, 4); return value; }
static inline int __float_as_int(float value) { int bits; std::memcpy(&bits, &value, 4); return bits; }
template <class T> static inline T atomicAdd(T *at, T add) {
    const T before = *at;
    *at += add;
    return before;
}
