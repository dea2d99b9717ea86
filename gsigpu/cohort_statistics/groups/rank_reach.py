"""How small the p of a test of ranks can get: where not below the level, there is nothing to test.

χ² and z do not know how few patients there are: of three against three patients Kruskal-Wallis' χ² gives .0495, where the
most extreme of all 20 arrangements has a probability of .1. Ties make arrangements alike, so that the true bound is not
below these.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from math import exp, factorial, lgamma, prod

from gsigpu.cohort_statistics.inference import LEVEL

# Two arrangements whose H differs by rounding alone are one.
_ROUNDING = 1e-9


def kruskal_reach(sizes: Sequence[int]) -> float:
    """The smallest p of a permutation test with Kruskal-Wallis' H; where it is below the level anyhow, a bound of it.

    sizes : of the groups, each above 0
    H is largest where every group lies apart from the others, in some order. Tested against all arrangements.

    >>> [round(kruskal_reach(sizes), 3) for sizes in ([1, 1, 1], [3, 3], [2, 2, 2])]
    [1.0, 0.1, 0.067]
    """
    at_most = exp(lgamma(len(sizes) + 1) - _log_ways(sizes))
    if at_most < LEVEL:
        return at_most
    spread = [_spread(order) for order in _orders(Counter(sizes))]
    n_largest = sum(value > max(spread) - _ROUNDING for value in spread)
    n_largest *= prod(map(factorial, Counter(sizes).values()))
    return n_largest * exp(-_log_ways(sizes))


def dunn_reach(n_a: int, n_b: int, n_all: int) -> float:
    """The smallest p of a permutation test with Dunn's difference of mean ranks, all groups being alike.

    >>> round(dunn_reach(2, 2, 6), 3)
    0.022
    """
    return min(1.0, 2 * exp(-_log_ways([n_a, n_b, n_all - n_a - n_b])))


def unreachable(sizes: Sequence[int], smallest: float) -> str:
    """Why ranks of so few cannot be tested, or nothing.

    >>> unreachable([3, 3], 0.1)
    '3 against 3: the smallest p that ranks of so few can reach is .100'
    """
    if smallest < LEVEL:
        return ""
    few = " against ".join(str(size) for size in sizes)
    least = f"{smallest:.3f}".removeprefix("0")
    return f"{few}: the smallest p that ranks of so few can reach is {least}"


def _log_ways(sizes: Sequence[int]) -> float:
    """Log of the number of ways to deal the values out to the groups."""
    return lgamma(sum(sizes) + 1) - sum(lgamma(size + 1) for size in sizes)


def _orders(left: Counter[int]) -> Iterator[tuple[int, ...]]:
    """Every order of the sizes, equal sizes being alike."""
    if not left:
        yield ()
    for size in left:
        rest = left - Counter([size])
        yield from ((size, *order) for order in _orders(rest))


def _spread(order: Sequence[int]) -> float:
    """Σ R² / n of groups that lie apart in this order, R the sum of a group's ranks."""
    total, below = 0.0, 0
    for size in order:
        ranks = size * below + size * (size + 1) / 2
        total += ranks**2 / size
        below += size
    return total
