"""Float maps as stored integers."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from gsigpu.maps.quantise import quantise
from gsigpu.maps.registry import define

STEP = 0.01


@given(arrays(np.float32, (4, 6), elements=st.floats(-327, 327, width=32)))
def test_within_half_a_step(values):
    stored, n_clipped = quantise(values, STEP)
    assert stored.dtype == np.int16
    assert n_clipped == 0
    # Dividing in float32 may put a value on the other side of a tie: 2 ulp of the largest quotient.
    assert np.abs(stored * STEP - values.astype(float)).max() <= STEP * (0.5 + 2**-8)


@given(arrays(np.float32, 20, elements=st.floats(allow_nan=True, allow_infinity=True, width=32)))
def test_nothing_wraps(values):
    with np.errstate(over="ignore"):
        stored, n_clipped = quantise(values, STEP)
    beyond = np.abs(values.astype(float) / STEP) > 32768
    assert np.array_equal(stored == -32768, np.isnan(values))
    assert np.all(stored[beyond] == 32767 * np.sign(values[beyond]))
    assert int(n_clipped) >= beyond.sum()


def test_clipped_values_are_counted():
    stored, n_clipped = quantise(np.float32([[327.67, 327.68], [-1e30, np.nan]]), STEP)
    assert stored.tolist() == [[32767, 32767], [-32767, -32768]]
    assert n_clipped == 2


@pytest.mark.parametrize("name", ["lambda-hu", "iodine", "vnc", "water", "zeff", "mono-40"])
def test_steps_leave_room_for_what_is_possible(name):
    """Bone and pure contrast medium in a vessel fit; metal may clip."""
    largest = {"lambda-hu": 30, "iodine": 300, "vnc": 3071, "water": 3000, "zeff": 30}
    assert largest.get(name, 20000) / define(name).step < 32767
