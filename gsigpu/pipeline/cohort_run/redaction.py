"""Keeps who a study is of out of everything that is written about it.

What is written are the identifiers of the manifest. Free text (reasons, warnings, logs, names of regions)
passes a `Redactor`: paths become what they are of, and what the headers call the patient is taken out.
"""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from gsigpu.dicom.model import Study
from gsigpu.dicom.reading.headers import files_below
from gsigpu.dicom.writing.identity import identity_of
from gsigpu.errors import InputError
from gsigpu.pipeline.cohort_run.row_files import named_files
from gsigpu.tables.manifest import ManifestRow

REMOVED = "[removed]"
# Around the number of a file, as long as words are looked for.
_MARK = "\0"
# Limits, each with its reason.
_SHORT = 4  # shorter words of plain letters or digits ("Li", "7") are removed only where they stand alone
_SHORTEST_NUMBER = 3  # a number of two digits leads to nobody, and stands everywhere
# Values that say what was done; none of them comes from a header's text.
_KEPT = {
    "case", "sop_instance_uids", "uid", "study_uid", "frame_of_reference_uid", "software", "versions",
    "settings", "definitions", "backend", "kind", "sha256", "role", "formula", "unit", "weights",
}  # fmt: skip


class Redactor:
    """Takes identity out of text.

    identity : words that the headers give, see gsigpu.dicom.writing.identity
    study : the folder; its files are called by their number in the order of their names
    named : other files, and what to call them
    """

    def __init__(
        self, identity: Iterable[str], study: Path, named: Sequence[tuple[Path, str]]
    ) -> None:
        """Compiles what to look for."""
        words = {form for word in identity for form in _forms(word)}
        ordered = sorted(filter(None, words), key=lambda word: (-len(word), word))
        self._words = (
            re.compile("|".join(map(_pattern, ordered)), re.IGNORECASE) if ordered else None
        )
        self._study = study
        self._roots = _spellings(study)
        self._named = [
            (spelling, called)
            for path, called in named
            for spelling in (*_spellings(path), path.name)
        ]

    def __call__(self, text: str) -> str:
        """The text without identity."""
        if any(root in text for root in self._roots):
            text = self._without_study(text)
        for spelling, called in self._named:
            text = text.replace(spelling, called)
        text = self._words.sub(REMOVED, text) if self._words else text
        return re.sub(f"{_MARK}(\\d+){_MARK}", r"study/file-\1", text)

    def _without_study(self, text: str) -> str:
        try:
            files = files_below(self._study)
        except InputError:
            files = []
        numbered = [(name, f"{_MARK}{i}{_MARK}") for i, name in enumerate(files, start=1)]
        for name, called in sorted(numbered, key=lambda pair: -len(pair[0])):
            for spelling in (name, os.path.realpath(name)) if name not in text else (name,):
                text = text.replace(spelling, called)
        for root in self._roots:
            text = re.sub(re.escape(root) + r"(?:/[^\s:;,'\"]*)?", "study", text)
        return text

    def record(self, content: Any) -> Any:
        """Plain data with its free text redacted; labels that the manifest gave, and UIDs, stay."""
        if isinstance(content, dict):
            return {
                name: value if name in _KEPT else self.record(value)
                for name, value in content.items()
            }
        if isinstance(content, list | tuple):
            return [self.record(value) for value in content]
        return self(content) if isinstance(content, str) else content


def redactor_for(row: ManifestRow, study: Study | None = None) -> Redactor:
    """From a file of each patient, study and scanner of a study that was read, else from all files; and masks."""
    named = named_files(row)
    if study is None:
        try:
            files = [Path(name) for name in files_below(row.study)]
        except InputError:
            files = []
    else:
        with_planes = [series for series in study.series if series.planes]
        files = list(
            {
                (e.patient_id, e.study_uid, e.manufacturer, e.model): series.planes[0].path
                for series in with_planes
                for e in [series.evidence]
            }.values()
        )
    files += [Path(name) for path, _ in named if path.exists() for name in files_below(path)]
    return Redactor(identity_of(files), row.study, named)


def _spellings(path: Path) -> tuple[str, ...]:
    return tuple(dict.fromkeys((str(path.resolve()), str(path.absolute()), str(path))))


def _forms(word: str) -> set[str]:
    """How one word may be written: composed, decomposed, without accents, and UTF-8 taken for Latin-1."""
    word = word.strip()
    if word.isdigit() and len(word) < _SHORTEST_NUMBER:
        return set()
    plain = "".join(
        character
        for character in unicodedata.normalize("NFKD", word)
        if not unicodedata.combining(character)
    )
    forms = {word, unicodedata.normalize("NFC", word), unicodedata.normalize("NFD", word), plain}
    return {*forms, *(form.encode("utf-8").decode("latin-1") for form in forms)}


def _pattern(word: str) -> str:
    escaped = re.escape(word)
    if word.isascii() and len(word) < _SHORT:
        return rf"(?<![^\W_]){escaped}(?![^\W_])"
    return escaped
