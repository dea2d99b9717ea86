"""Images of two tube voltages: what they are, and why they are no spectral stack."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from gsigpu.dicom.model import Series, SeriesKind
from gsigpu.dicom.study.classify import HIGHEST_TUBE_KV, LOWEST_TUBE_KV

REMEDY = "export monoenergetic series (40 to 140 keV) of it from the vendor's workstation"


def two_voltages(series: Sequence[Series]) -> tuple[float, ...]:
    """The tube voltages in kV of a dual-energy scan of which only these images are there; () where it is none.

    One frame of reference with images of several voltages, and no monoenergetic series in the study. KVP of such a series
    may be its energy, which is no voltage.
    """
    if any(member.kind is SeriesKind.VMI for member in series):
        return ()
    voltages: dict[str, set[float]] = defaultdict(set)
    for member in series:
        kvp = member.evidence.kvp
        is_measured = member.kind is SeriesKind.CONVENTIONAL
        if kvp is not None and is_measured and LOWEST_TUBE_KV <= kvp <= HIGHEST_TUBE_KV:
            voltages[member.evidence.frame_of_reference_uid].add(kvp)
    most = max(map(len, voltages.values()), default=0)
    return next((tuple(sorted(kv)) for kv in voltages.values() if len(kv) == most > 1), ())


def no_energies(voltages: Sequence[float]) -> str:
    """Why images of these voltages give no map; "" for fewer than two.

    >>> no_energies((80.0, 140.0)).split(",")[0], no_energies((120.0,))
    ('images at tube voltages of 80 and 140 kV', '')
    """
    if len(voltages) < 2:
        return ""
    *first, last = (f"{voltage:g}" for voltage in voltages)
    return (
        f"images at tube voltages of {', '.join(first)} and {last} kV, whose HU belong to no energy without the"
        " scanner's own calibration"
    )
