"""Words and numbers of the pictures for papers."""

from __future__ import annotations

import math
import textwrap
import unicodedata

# Digits that a mean of a region carries: its standard error is about a tenth of the SD of voxels.
_DIGITS = {"HU": 0, "mg/mL": 2, "HU/keV": 2}
_SIGNS = {" - ": " − ", "rho_w": "ρw", "rho": "ρ", "mu/": "µ/"}


def definition_lines(formula: str, width: int) -> list[str]:
    """A formula as a person writes it, in lines of so many characters.

    >>> definition_lines("(HU[60 keV] - HU[100 keV]) / 60 keV", 44)
    ['(HU[60 keV] − HU[100 keV]) / 60 keV']
    """
    for plain, sign in _SIGNS.items():
        formula = formula.replace(plain, sign)
    return textwrap.wrap(formula, width)


def number(value: float | None, unit: str) -> str:
    """A value as it is printed, with a minus sign and not a hyphen; a dash where there is none.

    >>> number(-3.456, "HU/keV"), number(None, "HU")
    ('−3.46', '–')
    """
    if value is None or not math.isfinite(value):
        return "–"
    return f"{value:.{_DIGITS.get(unit, 2)}f}".replace("-", "−")


def mean_and_sd(mean: float | None, sd: float | None, *, unit: str) -> str:
    """Mean ± SD.

    >>> mean_and_sd(1.234, 0.2, unit="HU/keV"), mean_and_sd(None, None, unit="HU")
    ('1.23 ± 0.20', '–')
    """
    if mean is None:
        return "–"
    return f"{number(mean, unit)} ± {number(sd, unit)}"


def joined(title: tuple[str, str], most: int) -> str:
    """Case and lesion in one line of so many letters; of long names each keeps half.

    >>> joined(("case-7", "lesion 3"), 40), joined(("a" * 30, "lesion 3"), 21)
    ('case-7, lesion 3', 'aaaaa…aaaaa, lesion 3')
    """
    case, lesion = title
    room = most - 2
    half = room // 2
    if _width(case) + _width(lesion) > room:
        case = shortened(case, max(half, room - _width(lesion)))
        lesion = shortened(lesion, room - _width(case))
    return f"{case}, {lesion}"


def shortened(text: str, most: int) -> str:
    """A text that is no wider than so many letters; the middle of a longer one is left out.

    Letters of Chinese, Japanese and Korean are two wide.

    >>> shortened("metastasis of the left lobe", 15), shortened("肝脏转移", 6)
    ('metasta…ft lobe', '肝…移')
    """
    if _width(text) <= most:
        return text
    head, tail = "", ""
    left, right = 0, len(text)
    while left < right:
        if _width(head) <= _width(tail):
            if _width(head) + _width(tail) + 1 + _width(text[left]) > most:
                break
            head += text[left]
            left += 1
        else:
            if _width(head) + _width(tail) + 1 + _width(text[right - 1]) > most:
                break
            right -= 1
            tail = text[right] + tail
    return f"{head}…{tail}"


def _width(text: str) -> int:
    return sum(2 if unicodedata.east_asian_width(letter) in "WF" else 1 for letter in text)
