// CUDA as ordinary C++: enough of it to run one kernel's source, block by block and thread by thread.
#pragma once
#include <cmath>
#include <cstring>

struct Index { unsigned x, y, z; };
static thread_local Index blockIdx, threadIdx, blockDim, gridDim;

#define __global__
#define __device__
#define __forceinline__ inline
#define __restrict__
#define alignas_16 alignas(16)

static inline float __int_as_float(int bits) { float value; std::memcpy(&value, &bits, 4); return value; }
static inline unsigned long long atomicAdd(unsigned long long *at, unsigned long long add) {
    const unsigned long long before = *at;
    *at += add;
    return before;
}
