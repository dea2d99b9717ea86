"""UIDs and Series Number that follow from the content of a series, header and pixels.

Objects that are equal byte by byte bear the same UIDs, so an archive knows them again; any difference (another map
beside, another slope, energy, header, version or processor, as far as it changes a bit) gives another Series
Instance UID, other SOP Instance UIDs and another Series Number. The names are computed from the bytes that are
written, with placeholders of the same length in the places of the names.

The UIDs are UUIDs (version 5) whose decimal form has 39 digits, as 7 of 10 have, so that all are equally long.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import FileDataset
from pydicom.filewriter import dcmwrite
from pydicom.uid import UID

from gsigpu.dicom.writing.uids import derived_uid

_UID_LENGTH = len("2.25.") + 39
# Nine digits: the numbers of two series of one study are equal with a probability of 1.1e-9.
_LOWEST_NUMBER, _N_NUMBERS = 10**8, 9 * 10**8
_WORD = np.dtype("<u8")
_NO_BYTES = memoryview(b"")


@dataclass(frozen=True, slots=True)
class ContentNames:
    """What a series is called.

    number : Series Number, nine digits
    """

    series_uid: str
    number: str

    def image_uid(self, z: int) -> str:
        """SOP Instance UID of slice z, or of the only object where z is 0."""
        return _long_uid("image", self.series_uid, z)


def names_of(digests: Iterable[bytes]) -> ContentNames:
    """The names of a series.

    digests : of all that it holds, in the order of its slices
    """
    whole = hashlib.sha256()
    for digest in digests:
        whole.update(digest)
    series_uid = _long_uid("series", whole.hexdigest())
    number = int.from_bytes(hashlib.sha256(series_uid.encode()).digest()[:8]) % _N_NUMBERS
    return ContentNames(series_uid, str(_LOWEST_NUMBER + number))


def _long_uid(*parts: object) -> str:
    """A derived UID of the full length."""
    attempt = 0
    while len(uid := derived_uid(*parts, attempt)) != _UID_LENGTH:
        attempt += 1
    return uid


# Stand in the headers until the content is known; as long as the names, and nobody else's.
PLACEHOLDERS = ContentNames("2.25." + "4" * 39, "424242424")
PLACEHOLDER_IMAGE_UID = "2.25." + "5" * 39


def header_digest(header: bytes) -> bytes:
    """Of an encoded header with placeholders."""
    return hashlib.sha256(header).digest()


def pixel_digest(pixels: memoryview) -> bytes:
    """Of a plane: Σ aᵢ wᵢ mod 2⁶⁴ over its 64-bit words, with fixed odd multipliers.

    Multilinear hashing (Carter and Wegman, J Comput Syst Sci 18:143, 1979). A change of one word always shows; two
    planes that differ in many agree by chance with a probability near 2⁻⁶³. It takes a tenth of the time
    of SHA-256, which would be a fifth of a run.
    """
    n_words = pixels.nbytes // _WORD.itemsize
    words = np.frombuffer(pixels[: n_words * _WORD.itemsize], _WORD)
    total = int(np.dot(words, multipliers(n_words))) if n_words else 0
    return digest_of_sum(total, pixels)


def digest_of_sum(total: int, pixels: memoryview = _NO_BYTES) -> bytes:
    """`pixel_digest` where the sum over the whole words is known.

    pixels : needed where they are not whole words
    """
    n_in_words = pixels.nbytes // _WORD.itemsize * _WORD.itemsize
    return total.to_bytes(8, "little") + bytes(pixels[n_in_words:])


@lru_cache(maxsize=4)
def multipliers(n_words: int) -> NDArray[np.uint64]:
    """Of the first words of a plane."""
    # PCG64 is specified: these are the same on every machine and with every version of NumPy.
    return np.random.PCG64(424242).random_raw(n_words) | np.uint64(1)


def name_by_content(ds: FileDataset) -> None:
    """Gives an object that is its own series the names that follow from all it holds.

    ds : complete but for the names, whatever it is called so far
    """
    _set_names(ds, PLACEHOLDERS, PLACEHOLDER_IMAGE_UID)
    buffer = io.BytesIO()
    dcmwrite(buffer, ds, enforce_file_format=True)
    names = names_of([header_digest(buffer.getvalue())])
    _set_names(ds, names, names.image_uid(0))


def _set_names(ds: Any, names: ContentNames, image_uid: str) -> None:
    ds.SeriesInstanceUID, ds.SeriesNumber = UID(names.series_uid), names.number
    ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = UID(image_uid)
