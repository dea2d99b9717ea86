"""Measurements of several studies on their way to one table."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from gsigpu.output.staging import require_free, staged_files
from gsigpu.pipeline.measure.given_masks import MaskFiles
from gsigpu.pipeline.measure.measurement import Measurement
from gsigpu.pipeline.measure.write_measurement import (
    COMMAND,
    files_beside,
    provenance,
    replaced,
    require_no_mask,
    was_measured,
)
from gsigpu.tables.measurement_table import wide, write_table
from gsigpu.version import __version__


class SeveralMeasurements:
    """Keeps of each study its rows and its provenance: masks of hundreds would fill the memory.

    out : the table, .csv or .parquet
    Raises OutputError where it, or what goes with it, is there and may not be replaced; SettingsError for another name.
    """

    def __init__(self, out: Path, *, with_wide: bool, overwrite: bool) -> None:
        self._out, self._with_wide, self._overwrite = out, with_wide, overwrite
        self._finals = files_beside(out, with_wide=with_wide)
        self._tables: dict[str, pd.DataFrame] = {}
        self._records: dict[str, list[dict[str, Any]]] = {}
        self._read: set[Path] = set()
        require_free(self._finals, overwrite=overwrite, is_replaceable=self._is_of_measure)

    def _is_of_measure(self, path: Path) -> bool:
        return was_measured(path, self._out)

    @property
    def names(self) -> list[str]:
        """Of the studies that are in it."""
        return list(self._tables)

    @property
    def table(self) -> pd.DataFrame:
        """The rows of all studies."""
        return pd.concat(self._tables.values(), ignore_index=True)

    def add(
        self,
        name: str,
        table: pd.DataFrame,
        phases: Sequence[Measurement],
        masks: MaskFiles,
    ) -> None:
        """Takes the measurement of a study.

        Raises OutputError where the table would be written over one of its masks.
        """
        for measurement in phases:
            self._read |= require_no_mask(self._finals, measurement.masks)
        self._tables[name] = table
        self._records[name] = [provenance(measurement, masks) for measurement in phases]

    def write(
        self, *, failures: Sequence[Mapping[str, str]], haematocrit: float | None
    ) -> list[Path]:
        """Writes the table and OUT.json, and OUT.wide.csv if asked; all of it or nothing.

        failures : of studies and lesions, for the provenance
        Returns the files written, the table first. Raises OutputError.
        """
        out, table = self._out, self.table
        record = {
            "software": f"gsigpu {__version__}",
            "command": COMMAND,
            "files": [path.name for path in self._finals],
            "haematocrit": haematocrit,
            "studies": self._records,
            "failures": list(failures),
        }
        with (
            replaced(out, keep=self._read, overwrite=self._overwrite) as written,
            staged_files(
                self._finals, overwrite=self._overwrite, is_replaceable=self._is_of_measure
            ) as folder,
        ):
            write_table(table, folder / out.name)
            if self._with_wide:
                write_table(wide(table), folder / out.with_suffix(".wide.csv").name)
            text = json.dumps(record, indent=2)
            (folder / out.with_suffix(".json").name).write_text(text + "\n", "utf-8")
            written.extend(self._finals)
        return [out, *self._finals[:-1]]
