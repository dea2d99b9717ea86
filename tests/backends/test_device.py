"""How many processes a card has room for, by what a context is seen to take."""

import pytest

from gsigpu.backends import device
from tests.support import host_cupy

MIB = 1 << 20


@pytest.mark.parametrize(
    ("total", "taken", "n"),
    [(80_000, 500, 79), (80_000, 1000, 39), (80_000, 60_000, 9), (4000, 300, 6), (1000, 900, 1)],
    ids=["a small context", "a large one", "a neighbour", "a small card", "no room"],
)
def test_contexts_are_measured_and_take_half_of_what_is_free(monkeypatch, total, taken, n):
    cupy = host_cupy.install(monkeypatch, room=total * MIB)
    cupy.card.taken = taken * MIB
    assert device.n_contexts() == n


def test_no_card_has_room_for_none(monkeypatch):
    monkeypatch.setattr(device, "why_no_gpu", lambda: "no driver")
    assert device.n_contexts() == 0
