"""The one gate for text about a study: what leaves a worker has passed a `Redactor`.

What is written are the identifiers of the manifest. Free text (reasons, warnings, logs, names of regions)
passes here: paths and names of files become what they are of, and what the headers call the patient is taken out.
A pseudonymous run leaves out more: UIDs, every text of the headers that holds a word which gsigpu does not know,
messages of errors that gsigpu did not word itself, and what libraries print. A region whose name holds such a word is
called by a keyed hash of it: so two regions stay two, and one is called alike in every phase, reader and case.
"""

from __future__ import annotations

import hmac
import os
import re
import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from gsigpu.archives.open_archives import split_at_archive
from gsigpu.dicom.model import Study
from gsigpu.dicom.quiet import quiet
from gsigpu.dicom.reading.bounded_file import read_header
from gsigpu.dicom.reading.directory_records import is_dicomdir
from gsigpu.dicom.reading.headers import files_below
from gsigpu.dicom.study.header_report import masked
from gsigpu.dicom.study.patterns import normalised
from gsigpu.dicom.writing.identity import identity_of
from gsigpu.errors import InputError
from gsigpu.masks.roles import is_of_vocabulary
from gsigpu.pipeline.cohort_run.row_files import named_files
from gsigpu.tables.manifest import ManifestRow

REMOVED = "[removed]"
# Around the number of a file, as long as words are looked for.
_MARK = "\0"
# Limits, each with its reason.
_SHORT = 4  # shorter words of plain letters or digits ("Li", "7") are removed only where they stand alone
_LONGEST_PLAIN_NAME = (
    12  # letters of a folder's name that may be a word of a message ("baseline", "dicom")
)
_REGION_DIGITS = 16  # 64 bits, as of other pseudonyms
_SHORTEST_NUMBER = 3  # a number of two digits leads to nobody, and stands everywhere
# Values that say what was done; none of them comes from a header's text.
_KEPT = {
    "sop_instance_uids", "uid", "study_uid", "frame_of_reference_uid", "software", "versions",
    "settings", "backend", "kind", "sha256", "role", "unit", "weights",
}  # fmt: skip
# Records whose names come from headers, too.
_NAMED_BY_HEADERS = "definitions"
_UID = re.compile(r"(?<![\w.])(?:[0-2](?:\.\d+){4,}|2\.25\.\d+)(?![\w])")
_TEXT_VRS = {"PN", "LO", "SH", "LT", "ST", "UT", "UC"}
# Of a trace: where in the program it was, and nothing that a value could be printed in.
_STACK_LINE = re.compile(
    r"^(?:Fatal Python error: [\w ]+|(?:Current t|T)hread 0x.*|\s*File \"[^\"]*/(?:gsigpu|site-packages|lib/python"
    r"[\d.]*)/[^\"]*\", line \d+,? in \S+|Traceback \(most recent call (?:first|last)\):)"
)


class Redactor:
    """Takes identity out of text.

    identity : words that the headers give, see gsigpu.dicom.writing.identity, and that the manifest hides
    study : the folder; its files are called by their number in the order of their names
    named : other files, and what to call them
    pseudonymous : leave out UIDs and messages that nobody here worded
    region_key : of the hashes that regions of this patient are called by
    """

    def __init__(
        self,
        identity: Iterable[str],
        study: Path,
        named: Sequence[tuple[Path, str]],
        *,
        pseudonymous: bool = False,
        region_key: bytes = b"",
    ) -> None:
        """Compiles what to look for."""
        words = {form for word in identity for form in _forms(word)}
        ordered = sorted(filter(None, words), key=lambda word: (-len(word), word))
        self._words = (
            re.compile("|".join(map(_pattern, ordered)), re.IGNORECASE) if ordered else None
        )
        self._study = study
        place = split_at_archive(study)
        above = place[0] if place else study.parent if is_dicomdir(study) else study
        self._roots = tuple(dict.fromkeys((*_spellings(study), *_spellings(above))))
        spellings = [
            (spelling, called)
            for path, called in named
            for spelling in (*_spellings(path), path.name)
        ]
        # A file before the folder that it lies in.
        self._named = sorted(spellings, key=lambda pair: -len(pair[0]))
        self._pseudonymous = pseudonymous
        self._bare_names: re.Pattern[str] | None = None
        self._region_key = region_key
        self._regions: dict[str, str] = {}

    def __call__(self, text: str) -> str:
        """The text without identity."""
        text = self._without_paths(text)
        for name in sorted(self._regions, key=len, reverse=True):
            text = re.sub(rf"(?<!\w){re.escape(name)}(?!\w)", self._regions[name], text)
        called = set(self._regions.values())
        parts = re.split(f"({'|'.join(called)})", text) if called else [text]
        text = "".join(part if part in called else self._without_words(part) for part in parts)
        return re.sub(f"{_MARK}(\\d+){_MARK}", r"study/file-\1", text)

    def region(self, name: str) -> str:
        """What to call a region, here and in every text from now on."""
        called = self._without_words(self._without_paths(name))
        if not self._region_key or (called == name and is_of_vocabulary(name)):
            return called
        digest = hmac.digest(self._region_key, name.encode("utf-8", "surrogateescape"), "sha256")
        return self._regions.setdefault(name, f"l-{digest.hex()[:_REGION_DIGITS]}")

    def _without_paths(self, text: str) -> str:
        if any(root in text for root in self._roots):
            text = self._without_study(text)
        for spelling, called in self._named:
            text = text.replace(spelling, called)
        return text

    def _without_words(self, text: str) -> str:
        text = self._without_names(text)
        text = self._words.sub(REMOVED, text) if self._words else text
        if self._pseudonymous:
            text = _UID.sub("[uid]", text)
        return text

    def exception(self, error: BaseException) -> str:
        """What to tell of an error that gsigpu did not raise on purpose."""
        words = f"unexpected {type(error).__name__}"
        return words if self._pseudonymous else self(f"{words}: {' '.join(str(error).split())}")

    def trace(self, text: str) -> str:
        """A traceback, or what a worker wrote to its standard error."""
        if not self._pseudonymous:
            return self(text)
        return "".join(
            f"{match[0]}\n" for line in text.splitlines() if (match := _STACK_LINE.match(line))
        )

    def _without_names(self, text: str) -> str:
        """Without the bare names of the study's files and folders."""
        if self._bare_names is None:
            files = self._files()
            names = {os.path.basename(path) for path in files}  # noqa: PTH119  # a Path takes ten times as long
            names |= {
                part
                for folder in {os.path.dirname(path) for path in files}  # noqa: PTH120  # as above
                for part in Path(os.path.relpath(folder, self._study)).parts
            }
            names |= set(self._study.parts) - {os.sep, ".", ".."}
            told = sorted(
                (name for name in names if len(name) > _LONGEST_PLAIN_NAME or not name.isalpha()),
                key=lambda name: (-len(name), name),
            )
            told = [name for name in told if len(name) >= _SHORT]
            self._bare_names = re.compile(
                rf"(?<![\w.-])(?:{'|'.join(map(re.escape, told))})(?![\w-])" if told else r"(?!)"
            )
        return self._bare_names.sub("study file", text)

    def _files(self) -> list[str]:
        try:
            return files_below(self._study)
        except (InputError, OSError):
            return []

    def _without_study(self, text: str) -> str:
        files = self._files()
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
                name: value
                if name in _KEPT
                else {self(key): self.record(entry) for key, entry in value.items()}
                if name == _NAMED_BY_HEADERS
                else self.record(value)
                for name, value in content.items()
            }
        if isinstance(content, list | tuple):
            return [self.record(value) for value in content]
        return self(content) if isinstance(content, str) else content


def redactor_for(
    row: ManifestRow, study: Study | None = None, *, pseudonymous: bool = False
) -> Redactor:
    """From a file of each patient, study and scanner of a study that was read, else from all files; and masks.

    pseudonymous : from a file of each series of a study that was read
    """
    return study_redactor(
        row.study,
        study,
        named_files(row),
        hidden=row.hidden,
        pseudonymous=pseudonymous,
        region_key=row.region_key,
    )


def study_redactor(
    folder: Path,
    study: Study | None,
    files_named: Sequence[tuple[Path, str]],
    *,
    hidden: Iterable[str] = (),
    pseudonymous: bool = False,
    region_key: bytes = b"",
) -> Redactor:
    """Of a study and the files that are used with it.

    folder : of the study; `study` is what was read of it, if it was
    files_named : masks and the like, files or folders, and what to call each
    hidden : words that are taken out beside those of the headers
    region_key : see `Redactor`
    """
    named: list[tuple[Path, str]] = []
    for path, called in files_named:
        named.append((path, called))
        if path.is_dir():
            named += [
                (Path(name), f"{called}/file-{i}") for i, name in enumerate(files_below(path), 1)
            ]
    if study is None:
        try:
            files = [Path(name) for name in files_below(folder)]
        except (InputError, OSError):
            files = []
    else:
        with_planes = [series for series in study.series if series.planes]
        files = list(
            {
                (
                    (e.series_uid if pseudonymous else ""),
                    e.patient_id, e.study_uid, e.manufacturer, e.model,
                ): series.planes[0].path
                for series in with_planes
                for e in [series.evidence]
            }.values()
        )  # fmt: skip
    files += [path for path, _ in named if path.is_file()]
    words = [*identity_of(files), *hidden]
    if pseudonymous:
        words += header_texts(files)
    return Redactor(words, folder, named, pseudonymous=pseudonymous, region_key=region_key)


def header_texts(files: Iterable[Path]) -> list[str]:
    """Texts of the headers with a word that gsigpu does not know: whoever wrote it may have written a name.

    Words that it knows ("Liver", "Met 1", "Mono 70 keV") stand in its own messages, and name nobody; where they name
    the patient all the same, `identity_of` has them.
    """
    texts: dict[str, None] = {}
    for path in files:
        try:
            with quiet():
                header = read_header(path)
                for element in header.iterall():
                    if element.VR in _TEXT_VRS:
                        values = element.value if element.VM > 1 else [element.value]
                        texts |= dict.fromkeys(str(value).strip() for value in values or ())
        except Exception:  # noqa: BLE001, S112  # pydicom raises anything on a broken header
            continue
    return [text for text in texts if len(text) >= _SHORT and not _is_plain(text)]


def _is_plain(text: str) -> bool:
    """Whether a text holds nothing but words that gsigpu knows, and short numbers."""
    return is_of_vocabulary(text) or masked(text) == normalised(text)


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
    bare = re.sub(r"[\W_]+", "", word)
    forms = {word, unicodedata.normalize("NFC", word), unicodedata.normalize("NFD", word), plain}
    if len(bare) > _SHORT and not bare.isalpha():
        forms.add(bare)
    return {*forms, *(form.encode("utf-8").decode("latin-1") for form in forms)}


def _pattern(word: str) -> str:
    escaped = re.escape(word)
    if word.isascii() and len(word) < _SHORT:
        return rf"(?<![^\W_]){escaped}(?![^\W_])"
    return escaped
