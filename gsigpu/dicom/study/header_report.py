"""An anonymous summary of the headers of a folder, for a user to send in.

It tells what gsigpu reads a series by, and how it read it, so that wording which it does not know
can be learnt. What is shown is decided by what is known to be harmless, not by what looks like a
name: of any text only words of a fixed vocabulary and short numbers stay, all else is masked, and
so is every word that stands in an element about a person or a place. No UIDs, dates or paths.
"""

from __future__ import annotations

import re
import tomllib
import warnings
from collections import Counter
from collections.abc import Iterable
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from gsigpu.dicom.model import Evidence, Series, Study
from gsigpu.dicom.reading.bounded_file import read_header
from gsigpu.dicom.reading.elements import uid_name
from gsigpu.dicom.study.patterns import load_patterns, normalised
from gsigpu.version import __version__

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

MASK, MASKED_NUMBER = "xxx", "#"
_NOTE = (
    "Words that are not in gsigpu's vocabulary are shown as xxx, long numbers and dates as #."
    " Read it before you send it."
)
# Longer numbers may be record numbers, dates or telephone numbers.
_MOST_DIGITS = 3
_CHINESE = "\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af"
# Three or more numbers in a row are a date, a time, a UID or a telephone number.
_DATE_OR_UID = re.compile(r"\d+(?:[./:-]\d+){2,}")
_TOKEN = re.compile(rf"[{_CHINESE}]+|[^\W\d_{_CHINESE}]+|\d+|.", re.DOTALL)
_IDENTITY_GROUPS = (0x0010, 0x0032, 0x0038, 0x0040)
_IDENTITY_WORDS = ("Name", "Institution", "Physician", "Operator", "Address", "Accession", "Patient", "StudyID", "Station", "Telephone", "Identifier")  # fmt: skip


def header_report(study: Study, *, shown: Iterable[str] = ()) -> dict[str, object]:
    """The summary, as plain data.

    shown : words that may be shown although the vocabulary does not hold them
    """
    extra = frozenset(word.casefold() for word in shown)
    return {
        "gsigpu": __version__,
        "note": _NOTE,
        "series": [_series(member, extra) for member in study.series],
        "skipped_files": dict(
            sorted(Counter(masked(file.reason, extra) for file in study.skipped).items())
        ),
    }


def _series(series: Series, extra: frozenset[str]) -> dict[str, object]:
    header, plane = series.evidence, series.planes[0]
    persons = identity_words(plane.path)
    hidden = (persons or frozenset()) | _words(header.patient_id)

    def text(value: str) -> str:
        # Where the file does not tell whom it is about, a name may be any word.
        return masked(value, extra, hidden) if persons is not None else MASK if value else ""

    return {
        "kind": series.kind.value,
        "energy_kev": series.energy_kev,
        "phase": text(series.phase),
        "evidence": [text(line) for line in series.evidence_used],
        "problem": "" if series.problem is None else series.problem.code,
        "manufacturer": text(header.manufacturer),
        "model": text(header.model),
        "image_type": [text(value) for value in header.image_type],
        "series_description": text(header.series_description),
        "image_comments": text(header.image_comments),
        "protocol_name": text(header.protocol),
        "derivation_description": text(header.derivation),
        "private_elements": [[text(name), text(value)] for name, value in header.private],
        "kvp": header.kvp,
        "monoenergetic_energy_equivalent_kev": header.mono_energy_kev,
        "multi_energy_acquisition": text(header.multienergy),
        "coded_materials": [text(material) for material in header.materials],
        "rescale_type": text(header.rescale_type),
        "rescale_slope": plane.slope,
        "kernel": text(header.convolution_kernel),
        **_numbers(series, header),
    }


def _numbers(series: Series, header: Evidence) -> dict[str, object]:
    image, grid = series.planes[0].format, series.geometry
    return {
        "n_slices": len(series.planes),
        "n_frames": header.n_frames,
        "rows_columns": [image.rows, image.columns],
        "spacing_mm": None if grid is None else [round(size, 4) for size in grid.spacing_mm],
        "bits_stored": image.bits_stored,
        "signed": image.signed,
        "samples_per_pixel": image.samples_per_pixel,
        "transfer_syntax": _standard_name(image.transfer_syntax_uid),
    }


def _standard_name(uid: str) -> str:
    name = uid_name(uid)
    return "private" if name == uid else name


def masked(
    text: str, extra: frozenset[str] = frozenset(), hidden: frozenset[str] = frozenset()
) -> str:
    """A text of which only known words and short numbers remain.

    >>> masked("Mueller Abdomen Mono 70 keV 4711234 12.03.24")
    'xxx Abdomen Mono 70 keV # #'
    """
    known = (vocabulary() | extra) - hidden
    plain = _DATE_OR_UID.sub(MASKED_NUMBER, normalised(text))
    parts = [_masked_token(token, known, hidden) for token in _TOKEN.findall(plain)]
    return re.sub(rf"{MASK}(?:[\s^,._-]*{MASK})+", MASK, "".join(parts))


def _masked_token(token: str, known: frozenset[str], hidden: frozenset[str]) -> str:
    if token.isdigit():
        is_short = len(token) <= _MOST_DIGITS and token.isascii() and token not in hidden
        return token if is_short else MASKED_NUMBER
    if not token.isalpha():
        return token
    word = token.casefold()
    if word in hidden:
        return MASK
    if word in known or (len(token) == 1 and token.isascii()):
        return token
    return _masked_chinese(token, known) if re.match(f"[{_CHINESE}]", token) else MASK


def _masked_chinese(run: str, known: frozenset[str]) -> str:
    """A run without spaces: the longest known words in it stay."""
    shown, at = "", 0
    while at < len(run):
        length = next(
            (n for n in range(len(run) - at, 0, -1) if run[at : at + n].casefold() in known), 0
        )
        shown += run[at : at + length] if length else MASK
        at += max(length, 1)
    return re.sub(f"(?:{MASK})+", MASK, shown)


@lru_cache(maxsize=1)
def vocabulary() -> frozenset[str]:
    """All words that a summary may show, in lower case."""
    table = tomllib.loads(
        files("gsigpu.dicom.study").joinpath("report_words.toml").read_text("utf-8")
    )
    words = {word.casefold() for group in table.values() for word in group.split()}
    patterns = load_patterns()
    for rule in (*patterns.energy, *patterns.kind, *patterns.phase):
        words |= _words_of_pattern(rule.pattern.pattern)
    for material in patterns.material:
        words |= _words_of_pattern(material.in_pair)
    return frozenset(words)


def _words_of_pattern(pattern: str) -> set[str]:
    """The words that stand whole in a regular expression; parts of words do not become known."""
    plain = re.sub(r"\[[^\]]*\][*+?]?|\\[a-zA-Z][*+?]?|\(\?[<!=:P][^)|]*>?", " ", pattern)
    pieces = re.split(r"[|()\s]+", plain)
    return {
        piece.casefold()
        for piece in pieces
        if piece.isalpha() and (len(piece) >= 4 or re.fullmatch(f"[{_CHINESE}]+", piece))
    }


def identity_words(path: Path) -> frozenset[str] | None:
    """Words and numbers of a file's elements about persons, places and identifiers; None if it cannot be read."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return frozenset(_identity_of(read_header(path)))
    except Exception:  # noqa: BLE001  pydicom raises anything on a broken header
        return None


def _identity_of(ds: Dataset) -> set[str]:
    words: set[str] = set()
    for element in ds.iterall():
        is_identity = element.tag.group in _IDENTITY_GROUPS or any(
            word in element.keyword for word in _IDENTITY_WORDS
        )
        is_protocol = element.keyword in (
            "ProtocolName",
            "PatientPosition",
            "ManufacturerModelName",
        )
        if element.VR == "PN" or (is_identity and not is_protocol and element.VR != "SQ"):
            words |= _words(str(element.value))
    return words


def _words(text: str) -> frozenset[str]:
    """Words of two letters and more, and numbers."""
    return frozenset(
        token.casefold()
        for token in _TOKEN.findall(normalised(text))
        if token.isdigit() or (token.isalpha() and len(token) > 1)
    )
