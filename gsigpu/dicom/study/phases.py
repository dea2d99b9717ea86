"""The contrast phase of series that no word names.

Where all monoenergetic series of a study were acquired at once, there is nothing to tell apart and
the phase stays "". Where they were acquired at several times, the groups are called phase-1,
phase-2, … in that order, with a warning: which of them is arterial is for the user to say.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence, Set
from dataclasses import replace

from gsigpu.dicom.model import Series, SeriesKind

# Slices of one helical pass are acquired within some seconds; phases lie 15 s and more apart.
_SAME_PASS_S = 10.0


def name_phases(series: Sequence[Series], phases_given: Set[str]) -> tuple[list[Series], list[str]]:
    """Gives every series without a phase the one of its acquisition.

    phases_given : SeriesInstanceUIDs whose phase the user gave
    Returns the series in the same order, and warnings.
    """
    named = list(series)
    warnings = []
    by_study: dict[tuple[str, str], list[int]] = defaultdict(list)
    for index, member in enumerate(series):
        by_study[member.evidence.patient_id, member.evidence.study_uid].append(index)
    for members in by_study.values():
        groups = _acquisitions([(index, series[index]) for index in members])
        phases = [{series[i].phase for i in group if series[i].phase} for group in groups]
        n_unnamed = 0
        for group, known in zip(groups, phases, strict=True):
            silent = [
                i
                for i in group
                if not series[i].phase and series[i].evidence.series_uid not in phases_given
            ]
            if not silent:
                continue
            if len(known) == 1:  # the others of this acquisition are named
                name = next(iter(known))
                why = f"phase {name}, as the other series acquired at the same time"
            elif len(groups) == 1 or not any(series[i].kind is SeriesKind.VMI for i in silent):
                continue
            else:
                n_unnamed += 1
                name = f"phase-{groups.index(group) + 1}"
                why = f"phase {name} by order of acquisition time {_clock(series[group[0]])}"
            for i in silent:
                named[i] = replace(
                    series[i], phase=name, evidence_used=(*series[i].evidence_used, why)
                )
        if n_unnamed:
            warnings.append(
                f"no header value names the phase of {n_unnamed} of {len(groups)} acquisitions; they are called"
                " phase-1, phase-2, ... by time: name them with --phase-of SERIES_UID=AP"
            )
    return named, warnings


def _acquisitions(members: Sequence[tuple[int, Series]]) -> list[list[int]]:
    """Indices of series acquired together, in order of time; a series without a time stands alone with its number."""
    timed = sorted(
        members,
        key=lambda item: (_seconds(item[1]), item[1].evidence.acquisition_number or 0, item[0]),
    )
    groups: list[list[int]] = []
    last: Series | None = None
    for index, series in timed:
        if last is not None and _together(last, series):
            groups[-1].append(index)
        else:
            groups.append([index])
        last = series
    return groups


def _together(first: Series, second: Series) -> bool:
    if first.phase and second.phase and first.phase != second.phase:
        return False
    return (
        abs(_seconds(first) - _seconds(second)) <= _SAME_PASS_S
        and first.evidence.acquisition_number == second.evidence.acquisition_number
    )


def _clock(series: Series) -> str:
    digits = series.evidence.acquisition_datetime
    return f"{digits[8:10]}:{digits[10:12]}:{digits[12:14]}" if len(digits) >= 14 else "(none)"


def _seconds(series: Series) -> float:
    """Seconds on some clock, from YYYYMMDDHHMMSS.FFFFFF; 0 where there is no time."""
    digits = series.evidence.acquisition_datetime
    try:
        days, hours, minutes, seconds = (
            int(digits[:8]),
            int(digits[8:10]),
            int(digits[10:12]),
            float(digits[12:].split("+")[0].split("-")[0]),
        )
    except ValueError:
        return 0.0
    return ((days * 24 + hours) * 60 + minutes) * 60 + seconds
