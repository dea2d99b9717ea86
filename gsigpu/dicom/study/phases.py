"""The contrast phase of series that no word names.

Where all monoenergetic series of a study were acquired at once, there is nothing to tell apart and
the phase stays "". Where they were acquired at several times, the groups are called phase-1,
phase-2, … in that order, with a warning: which of them is arterial is for the user to say.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence, Set
from dataclasses import replace

from gsigpu.caution import Caution
from gsigpu.dicom.model import Series, SeriesKind
from gsigpu.dicom.study.acquisitions import acquisitions, clock

# The name of a material map is a weak witness: "HAP" there may be hydroxyapatite.
_IMAGES = (SeriesKind.VMI, SeriesKind.CONVENTIONAL)


def name_phases(
    series: Sequence[Series], phases_given: Set[str]
) -> tuple[list[Series], list[Caution]]:
    """Gives every series without a phase the one of its acquisition.

    phases_given : keys of the series whose phase the user gave
    Returns the series in the same order, and warnings.
    """
    named = list(series)
    warnings: list[Caution] = []
    headers = [member.evidence for member in series]

    def has_another_phase(first: int, second: int) -> bool:
        phases = {series[first].phase, series[second].phase} - {""}
        return len(phases) > 1

    by_study: dict[tuple[str, str], list[list[int]]] = defaultdict(list)
    for group in acquisitions(headers, has_another_phase):
        header = headers[group[0]]
        by_study[header.patient_id, header.study_uid].append(group)
    for groups in by_study.values():
        n_unnamed = 0
        for number, group in enumerate(groups, start=1):
            silent = [i for i in group if not series[i].phase and series[i].key not in phases_given]
            if not silent:
                continue
            told = _told_phase([series[i] for i in group])
            if told is not None:
                name, witness = told
                why = f"phase {name}, as the other series acquired at the same time"
                if witness is not None and any(series[i].kind is SeriesKind.VMI for i in silent):
                    text = (
                        f"phase {name} of {len(silent)} series is known from the name of a material map alone,"
                        f" {witness.evidence.series_description!r}: give another with --phase-of if it is wrong"
                    )
                    warnings.append(Caution("phase", text))
            elif len(groups) == 1 or not any(series[i].kind is SeriesKind.VMI for i in silent):
                continue
            else:
                n_unnamed += 1
                name = f"phase-{number}"
                why = f"phase {name} by order of acquisition time {clock(headers[group[0]])}"
            for i in silent:
                named[i] = replace(
                    series[i], phase=name, evidence_used=(*series[i].evidence_used, why)
                )
        if n_unnamed:
            text = (
                f"no header value names the phase of {n_unnamed} of {len(groups)} acquisitions; they are called"
                " phase-1, phase-2, ... by time: name them with --phase-of SERIES=AP"
            )
            warnings.append(Caution("phase", text))
    return named, warnings


def _told_phase(group: Sequence[Series]) -> tuple[str, Series | None] | None:
    """The one phase that names of images tell, else of material maps; with the map that tells it."""
    for witnesses in (
        [member for member in group if member.phase and member.kind in _IMAGES],
        [member for member in group if member.phase and member.kind not in _IMAGES],
    ):
        phases = {member.phase for member in witnesses}
        if len(phases) > 1:
            return None
        if phases:
            is_image = witnesses[0].kind in _IMAGES
            return phases.pop(), None if is_image else witnesses[0]
    return None
