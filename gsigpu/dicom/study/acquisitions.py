"""Which headers belong to one acquisition: the same pass of the table, whatever was made of it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence

from gsigpu.dicom.model import Evidence

# Slices of one helical pass are acquired within some seconds; phases lie 15 s and more apart.
SAME_PASS_S = 10.0


def acquisitions(
    headers: Sequence[Evidence], apart: Callable[[int, int], bool] = lambda _first, _second: False
) -> list[list[int]]:
    """Indices of headers acquired together, by study, each in order of time.

    Together are those of one patient and study that have one Acquisition Number and follow each
    other within 10 s. A header without a time stands alone with its number.

    apart : whether two headers that follow each other belong to different acquisitions after all
    """
    by_study: dict[tuple[str, str], list[int]] = defaultdict(list)
    for index, header in enumerate(headers):
        by_study[header.patient_id, header.study_uid].append(index)
    groups: list[list[int]] = []
    for members in by_study.values():
        members.sort(key=lambda i: (seconds(headers[i]), headers[i].acquisition_number or 0, i))
        last: int | None = None
        for index in members:
            if (
                last is not None
                and _together(headers[last], headers[index])
                and not apart(last, index)
            ):
                groups[-1].append(index)
            else:
                groups.append([index])
            last = index
    return groups


def _together(first: Evidence, second: Evidence) -> bool:
    return (
        abs(seconds(first) - seconds(second)) <= SAME_PASS_S
        and first.acquisition_number == second.acquisition_number
    )


def seconds(header: Evidence) -> float:
    """Seconds on some clock, from YYYYMMDDHHMMSS.FFFFFF; 0 where there is no time."""
    digits = header.acquisition_datetime
    try:
        days, hours, minutes, rest = (
            int(digits[:8]),
            int(digits[8:10]),
            int(digits[10:12]),
            float(digits[12:].split("+")[0].split("-")[0]),
        )
    except ValueError:
        return 0.0
    return ((days * 24 + hours) * 60 + minutes) * 60 + rest


def clock(header: Evidence) -> str:
    """hh:mm:ss of an acquisition, or "(none)"."""
    digits = header.acquisition_datetime
    return f"{digits[8:10]}:{digits[10:12]}:{digits[12:14]}" if len(digits) >= 14 else "(none)"
