"""Keyed hashes instead of patients' identifiers: who has the key can make them again, nobody else can."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from gsigpu.errors import InputError
from gsigpu.tables.manifest import ManifestProblems, ManifestRow

_SHORTEST_KEY = 16  # bytes: a shorter key can be guessed
_SHORTEST_IDENTIFIER = 3  # characters: a shorter one stands in every word
_SHORTEST_HIDDEN = 2  # characters: a single one stands in every text
_DIGITS = 16  # 64 bits: among a million patients two share one with a probability of 3e-8


class Pseudonyms:
    """HMAC-SHA256 under a key."""

    def __init__(self, key: bytes) -> None:
        """See `read_key`."""
        self._key = key

    @property
    def fingerprint(self) -> str:
        """Tells keys apart without giving them away."""
        return hmac.digest(self._key, b"gsigpu key fingerprint", "sha256").hex()[:_DIGITS]

    def of(self, identifier: str) -> str:
        """The pseudonym of an identifier.

        >>> Pseudonyms(b"sixteen bytes of").of("4711")
        'p-3c86ad7c90bea9ad'
        """
        text = f"patient\0{identifier}".encode()
        return "p-" + hmac.digest(self._key, text, hashlib.sha256).hex()[:_DIGITS]

    def rows(self, rows: Sequence[ManifestRow]) -> list[ManifestRow]:
        """The rows with pseudonyms for patients, cases and readers, and without further columns.

        What they stand for is in `hidden`. Raises ManifestProblems if a group, phase or region holds an identifier.
        """
        renamed = []
        problems = []
        for row in rows:
            identifiers = [_bare(text) for text in (row.patient_id, row.case_id)]
            problems += [
                f"line {row.line}: {name} holds the row's identifier, which --pseudonymise hides"
                for name, text in (
                    ("group", row.group),
                    ("phase", row.phase),
                    *(("the name of a region", region) for region, _ in row.regions),
                )
                if any(
                    len(bare) >= _SHORTEST_IDENTIFIER and bare in _bare(text)
                    for bare in identifiers
                )
            ]
            hidden = (row.patient_id, row.case_id, row.reader, *(text for _, text in row.extra))
            renamed.append(
                replace(
                    row,
                    patient_id=self.of(row.patient_id),
                    case_id="c-" + self.of(f"case\0{row.case_id}").removeprefix("p-"),
                    reader=row.reader
                    and "r-" + self.of(f"reader\0{row.reader}").removeprefix("p-"),
                    extra=(),
                    region_key=hmac.digest(
                        self._key, f"regions\0{row.patient_id}".encode(), "sha256"
                    ),
                    hidden=tuple(text for text in hidden if len(text) >= _SHORTEST_HIDDEN),
                )
            )
        if problems:
            raise ManifestProblems(Path("manifest"), problems)
        return renamed


def read_key(path: Path) -> Pseudonyms:
    """Pseudonyms under the key that a file holds, white space at its ends aside.

    Raises InputError if it cannot be read or is too short to be a secret.
    """
    remedy = "make one, for example with: openssl rand -hex 32 > KEYFILE"
    try:
        key = path.read_bytes().strip()
    except OSError as error:
        raise InputError(
            f"key cannot be read ({error.strerror})", where=path, remedy=remedy
        ) from error
    if len(key) < _SHORTEST_KEY:
        raise InputError(
            f"key has {len(key)} bytes, fewer than {_SHORTEST_KEY}", where=path, remedy=remedy
        )
    return Pseudonyms(key)


def _bare(text: str) -> str:
    return re.sub(r"[\W_]+", "", text).casefold()
