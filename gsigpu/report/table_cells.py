"""Tables as a person reads them: rounded, with marks and notes; the same object becomes HTML, CSV and a sheet."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from gsigpu.output.portable_names import portable_name

_DECIMALS = {"ct_value": 1, "iodine": 2, "lambda_hu": 3}
_NAMES = {"ct_value": "CT value", "iodine": "iodine", "lambda_hu": "λHU"}
UNIT_NOT_STATED = "unit not stated"
_THINNEST = 0.001
_P_FORMAT = '[<0.001]"< .001";.000'
# Below tables that print unadjusted intervals beside adjusted p values.
INTERVAL_NOTE = (
    "Intervals are not adjusted for the number of tests, p values after Holm are: an interval may leave out the value "
    "of no difference where p is not below .05."
)
MINUS = "−"

Kind = Literal["head", "text", "number"]


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell.

    mark : superscript letters behind the text
    strong : a result that a reader looks for: p < .05 after Holm's correction over all tests of the recommended
        track, and nothing else
    tone : a class of the style sheet
    values : the numbers that the text shows, in full precision, for a sheet; more than one have `parts`
    number_format : how a sheet shows them
    parts : names of the values, as (low, high) of an interval
    """

    text: str
    kind: Kind = "number"
    span: int = 1
    mark: str = ""
    strong: bool = False
    tone: str = ""
    values: tuple[float, ...] = ()
    number_format: str = "General"
    parts: tuple[str, ...] = ()

    @property
    def plain(self) -> str:
        """With its mark, for a file."""
        return f"{self.text} {self.mark}" if self.mark else self.text


def head(text: str, span: int = 1, tone: str = "") -> Cell:
    """A cell of the header."""
    return Cell(text, "head", span, tone=tone)


def text(words: str, *, strong: bool = False, tone: str = "") -> Cell:
    """A cell of words."""
    return Cell(words, "text", strong=strong, tone=tone)


def num(value: float, decimals: int, *, strong: bool = False, tone: str = "") -> Cell:
    """A cell of one number, also for a sheet.

    >>> num(1.23456, 2).text, num(1.23456, 2).values
    ('1.23', (1.23456,))
    """
    shown = number(value, decimals)
    return Cell(shown, strong=strong, tone=tone, values=(value,), number_format=_fixed(decimals))


def whole(*values: int, parts: tuple[str, ...] = (), between: str = ", ") -> Cell:
    """A cell of counts.

    >>> whole(12, 30, parts=("patients", "lesions")).text
    '12, 30'
    """
    shown = between.join(f"{value:,}" for value in values)
    return Cell(shown, values=tuple(map(float, values)), number_format="#,##0", parts=parts)


def p_cell(p: float, *, strong: bool = False, tone: str = "") -> Cell:
    """A cell of a p value; a sheet keeps the number and prints it as a journal does."""
    return Cell(p_value(p), strong=strong, tone=tone, values=(p,), number_format=_P_FORMAT)


def interval_cell(low: float, high: float, decimals: int) -> Cell:
    """A cell of an interval, two numbers in a sheet."""
    return Cell(
        interval(low, high, decimals),
        values=(low, high),
        number_format=_fixed(decimals),
        parts=("low", "high"),
    )


def mean_sd(mean: float, sd: float, decimals: int, mark: str = "") -> Cell:
    """`1.20 ± 0.31`, two numbers in a sheet."""
    return Cell(
        f"{number(mean, decimals)} ± {number(sd, decimals)}",
        mark=mark,
        values=(mean, sd),
        number_format=_fixed(decimals),
        parts=("mean", "SD"),
    )


def _fixed(decimals: int) -> str:
    return "0." + "0" * decimals if decimals else "0"


@dataclass(frozen=True, slots=True)
class Table:
    """A table to look at.

    name : of its file
    header : rows of cells, spans filling the width
    notes : below
    """

    name: str
    caption: str
    header: Sequence[Sequence[Cell]]
    rows: Sequence[Sequence[Cell]]
    notes: Sequence[str] = field(default=())

    def stands_over_words(self, column: int, row: Sequence[Cell]) -> bool:
        """Whether a header stands over words; `row` is its row of the header."""
        if len(row) != len(self.header[-1]):
            return False
        for line in self.rows:
            if sum(cell.span for cell in line) == len(line) and column < len(line):
                return line[column].kind == "text"
        return column == 0

    def as_text(self) -> list[list[str]]:
        """Header and rows for a file; a spanning cell is repeated over its columns."""
        lines = []
        for row in [*self.header, *self.rows]:
            line: list[str] = []
            for cell in row:
                line += [cell.plain] * cell.span
            lines.append(line)
        return lines


def number(value: float, decimals: int) -> str:
    """Fixed decimals, a real minus sign, a dash where there is no value.

    >>> number(-0.1234, 2), number(float("nan"), 2), number(-0.001, 2)
    ('−0.12', '–', '0.00')
    """
    if not math.isfinite(value):
        return "–" if math.isnan(value) else ("∞" if value > 0 else f"{MINUS}∞")
    shown = f"{value:.{decimals}f}"
    if float(shown) == 0.0:
        shown = shown.removeprefix("-")
    return shown.replace("-", MINUS)


def p_value(p: float) -> str:
    """As journals print it: never .000.

    >>> p_value(0.0004), p_value(0.0123), p_value(0.9999), p_value(float("nan")), p_value(0.9996)
    ('< .001', '.012', '> .999', '–', '> .999')
    """
    if not math.isfinite(p):
        return "–"
    if p < _THINNEST:
        return "< .001"
    shown = f"{p:.3f}"
    return "> .999" if shown == "1.000" else shown.removeprefix("0")


def with_p(p: float, name: str = "p") -> str:
    """`p = .012`, `p < .001`.

    >>> with_p(0.0123), with_p(0.0)
    ('p = .012', 'p < .001')
    """
    shown = p_value(p)
    return f"{name} {shown}" if shown[0] in "<>" else f"{name} = {shown}"


def interval(low: float, high: float, decimals: int) -> str:
    """`0.61 to 0.83`.

    >>> interval(0.614, 0.829, 2)
    '0.61 to 0.83'
    """
    if math.isnan(low) and math.isnan(high):
        return "–"
    return f"{number(low, decimals)} to {number(high, decimals)}"


def decimals_of(parameter: str, spread: float = math.nan) -> int:
    """Decimals to show: as the field prints the parameter, else three digits of the spread."""
    stem = parameter.partition("[")[0]
    if stem in _DECIMALS:
        return _DECIMALS[stem]
    if stem.startswith("mono_"):
        return 1
    if not math.isfinite(spread) or spread <= 0:
        return 2
    return min(6, max(0, 2 - math.floor(math.log10(spread))))


def parameter_name(parameter: str) -> str:
    """As a person calls it.

    >>> parameter_name("lambda_hu[60-100]"), parameter_name("mono_70"), parameter_name("nic")
    ('λHU [60-100]', '70 keV', 'nic')
    """
    stem, bracket, rest = parameter.partition("[")
    if stem.startswith("mono_"):
        return f"{stem.removeprefix('mono_')} keV"
    shown = _NAMES.get(stem, stem.replace("_", " "))
    return f"{shown} {bracket}{rest}" if bracket else shown


def file_stem(*parts: str) -> str:
    """The name of a file or an element, from names that may hold anything.

    >>> file_stem("roc", "AP/late", ""), file_stem("table_1", "lambda_hu[60-100]", "paper")
    ('roc_AP_late', 'table_1_lambda_hu_60-100_paper')
    """
    plain = (re.sub(r"[^\w.-]+", "_", part).strip("_") for part in parts)
    return portable_name("_".join(part for part in plain if part))


def unit_name(unit: str) -> str:
    """The unit as it stands in the table; that none stands there is said, and no usual one put in its place.

    >>> unit_name("mg/mL"), unit_name("1"), unit_name("")
    ('mg/mL', '', 'unit not stated')
    """
    return "" if unit == "1" else unit or UNIT_NOT_STATED


def with_unit(parameter: str, unit: str) -> str:
    """`λHU (HU/keV)`.

    >>> with_unit("lambda_hu", "HU/keV"), with_unit("nic", "1"), with_unit("iodine", "")
    ('λHU (HU/keV)', 'nic', 'iodine (unit not stated)')
    """
    shown = unit_name(unit)
    name = parameter_name(parameter)
    return f"{name} ({shown})" if shown else name


def place(phase: object, region: object) -> str:
    """Phase and region of a row of results, as they are written everywhere.

    >>> place("AP", "rim"), place("", "core"), place("PVP", "")
    ('AP rim', 'core', 'PVP')
    """
    return " ".join(str(part) for part in (phase, region) if part not in ("", None))


def definition_words(definition: str) -> str:
    """A definition as a person writes it.

    >>> definition_words("rho_w + c r(E), r = (mu/rho)_I / (mu/rho)_w")
    'ρw + c r(E), r = (µ/ρ)I / (µ/ρ)w'
    """
    return (
        definition.replace("rho_w", "ρw").replace("(mu/rho)_", "(µ/ρ)").replace(" - ", f" {MINUS} ")
    )


def plural(n: int, singular: str, many: str = "") -> str:
    """`1 patient`, `2 patients`, `1,204 patients`.

    >>> plural(1, "patient"), plural(1204, "patient")
    ('1 patient', '1,204 patients')
    """
    return f"{n:,} {singular if n == 1 else many or singular + 's'}"


def listed(words: Sequence[str]) -> str:
    """`a, b and c`.

    >>> listed(["a", "b", "c"])
    'a, b and c'
    """
    if len(words) < 2:
        return "".join(words)
    return f"{', '.join(words[:-1])} and {words[-1]}"
