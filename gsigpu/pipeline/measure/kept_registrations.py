"""Registrations of one study's phases, kept for all that measure it with masks of the same liver."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gsigpu.registration.register import Registration

# A study has three or four phases, and masks of one of them: so many pairs. Each is some ten megabytes of images.
_MOST = 4


class KeptRegistrations:
    """The last registrations by what they were made of; they are of one reading of one study."""

    def __init__(self) -> None:
        """Nothing is registered yet."""
        self._made: dict[Hashable, Registration] = {}

    def of(self, key: Hashable, make: Callable[[], Registration]) -> Registration:
        """The registration of a key, made where it is not there.

        key : all that the registration depends on, but for the voxels of the study
        Raises what `make` raises, and keeps nothing then.
        """
        if key not in self._made:
            registration = make()
            while len(self._made) >= _MOST:
                del self._made[next(iter(self._made))]
            self._made[key] = registration
        return self._made[key]
