"""Columns of Arrow from Python's texts and NumPy's numbers, without pandas.

`pyarrow.array` looks whether it was given something of pandas, and imports that to do so: as long as all else that
a worker of a cohort needs to write what it measured. Arrays made of their buffers do not.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import ArrayLike


def text_column(texts: Sequence[str]) -> pa.StringArray:
    """A column of strings; none is missing.

    >>> text_column(["a", "", "µ"]).to_pylist()
    ['a', '', 'µ']
    """
    encoded = [text.encode() for text in texts]
    ends = np.zeros(len(encoded) + 1, np.int32)
    np.cumsum([len(text) for text in encoded], out=ends[1:])
    buffers = [None, pa.py_buffer(ends), pa.py_buffer(b"".join(encoded))]
    return pa.Array.from_buffers(pa.string(), len(encoded), buffers)


def float_column(numbers: Sequence[float]) -> pa.DoubleArray:
    """A column of float64; NaN is a missing value, as pandas and R take it.

    >>> float_column([1.5, float("nan")]).to_pylist()
    [1.5, None]
    """
    values = np.array(numbers, np.float64)
    is_there = ~np.isnan(values)
    n_missing = len(values) - int(is_there.sum())
    bits = pa.py_buffer(np.packbits(is_there, bitorder="little")) if n_missing else None
    return pa.Array.from_buffers(
        pa.float64(), len(values), [bits, pa.py_buffer(values)], null_count=n_missing
    )


def integer_column(numbers: ArrayLike) -> pa.Int64Array:
    """A column of int64.

    >>> integer_column([1, 2]).to_pylist()
    [1, 2]
    """
    values = np.array(numbers, np.int64)
    return pa.Array.from_buffers(pa.int64(), len(values), [None, pa.py_buffer(values)])


def boolean_column(flags: ArrayLike) -> pa.BooleanArray:
    """A column of truth values.

    >>> boolean_column([True, False]).to_pylist()
    [True, False]
    """
    values = np.array(flags, np.bool_)
    bits = pa.py_buffer(np.packbits(values, bitorder="little"))
    return pa.Array.from_buffers(pa.bool_(), len(values), [None, bits])
