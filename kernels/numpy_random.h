// Random numbers of NumPy's generators for patient_bootstrap.cpp, the same from the same state.

#include <stdint.h>
#include <string.h>

#define ALWAYS_INLINE inline __attribute__((always_inline))
#define INLINE static ALWAYS_INLINE
#define UNROLLED _Pragma("GCC unroll 4")

extern "C" {

// NumPy's PCG64 as `bit_generator.state` gives it; `half` is the upper half of a number of 64 bits whose lower half was taken.
struct Pcg64 {
    uint64_t state_low, state_high, increment_low, increment_high;
    uint32_t has_half, half;
};

}  // extern "C"

namespace {

// 32-bit numbers of any generator, by NumPy's interface in C.
struct ByFunction {
    uint32_t (*next)(void *);
    void *state;
    ALWAYS_INLINE uint32_t operator()() { return next(state); }
};

#ifdef __SIZEOF_INT128__
// The same numbers as NumPy's PCG64: XSL-RR 128/64 (O'Neill 2014, HMC-CS-2014-0905), each in two halves, the lower first.
// They are made some hundred at a time, each state from the fourth before it, so that no product waits for the last one.
class Inlined {
    static constexpr int AT_ONCE = 4, N_STATES = 128;
    typedef unsigned __int128 State;
    State before, before_next, increment;  // before the numbers of this buffer, and before those of the next
    State next_states[AT_ONCE], power, sum;
    int used, end;
    uint32_t numbers[1 + 2 * N_STATES];  // the first is a half that was left, where there is one

    static State multiplier() { return (State)2549297995355413924u << 64 | 4865540595714422341u; }

    __attribute__((noinline)) void refill() {
        State last = 0, states[AT_ONCE];
        memcpy(states, next_states, sizeof states);
        const State by = power, plus = sum;
        for (int i = 0; i < N_STATES; i += AT_ONCE)
            UNROLLED
            for (int lane = 0; lane < AT_ONCE; ++lane) {
                const State state = last = states[lane];
                states[lane] = state * by + plus;
                const uint64_t folded = uint64_t(state >> 64) ^ uint64_t(state);
                const unsigned turn = unsigned(state >> 122);
                const uint64_t number = folded >> turn | folded << (-turn & 63);
                numbers[1 + 2 * (i + lane)] = uint32_t(number);
                numbers[2 + 2 * (i + lane)] = uint32_t(number >> 32);
            }
        memcpy(next_states, states, sizeof states);
        if (end) before = before_next;
        before_next = last;
        used = 1;
        end = 1 + 2 * N_STATES;
    }

public:
    explicit Inlined(const Pcg64 &p)
        : before((State)p.state_high << 64 | p.state_low), before_next(before),
          increment((State)p.increment_high << 64 | p.increment_low), power(1), sum(0), end(0) {
        State state = before;
        for (State &of_lane : next_states) {
            of_lane = state = state * multiplier() + increment;
            sum = sum * multiplier() + increment;
            power *= multiplier();
        }
        refill();
        numbers[0] = p.half;
        used = p.has_half ? 0 : 1;
    }
    ALWAYS_INLINE uint32_t operator()() {
        if (used == end) refill();
        return numbers[used++];
    }
    void put_back(Pcg64 &p) const {
        State state = before;
        for (int i = 0; i < used / 2; ++i) state = state * multiplier() + increment;
        p.state_low = uint64_t(state);
        p.state_high = uint64_t(state >> 64);
        p.has_half = used % 2 == 0;
        p.half = numbers[used - used % 2];
    }
};
#endif

// A number from 0 to n - 1 (Lemire, ACM Trans Model Comput Simul 2019; 29: 3).
template <class Generator> INLINE uint32_t below(uint32_t n, Generator &next) {
    uint64_t product = uint64_t(next()) * n;
    if (uint32_t(product) < n) {
        const uint32_t threshold = uint32_t(-n) % n;
        while (uint32_t(product) < threshold) product = uint64_t(next()) * n;
    }
    return uint32_t(product >> 32);
}

}  // namespace
