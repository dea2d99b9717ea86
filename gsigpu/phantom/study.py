"""Writes a phantom as a PACS would export it, with masks and truth beside it."""

from __future__ import annotations

import gzip
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
from numpy.typing import NDArray

from gsigpu.errors import OutputError
from gsigpu.phantom.enhanced import enhanced_dataset
from gsigpu.phantom.extras import write_extras
from gsigpu.phantom.files import Stored, phantom_uid
from gsigpu.phantom.headers import (
    PADDING,
    VENDORS,
    Quantity,
    add_classic_image,
    add_multi_energy,
    add_rescale,
    energy_changes,
    series_dataset,
)
from gsigpu.phantom.lesions import Lesion
from gsigpu.phantom.noise import BasisNoise, NoiseModel, basis_noise
from gsigpu.phantom.painting import Composition, Painter
from gsigpu.phantom.series import ClassicSink, MultiframeSink, Sink, export_name
from gsigpu.phantom.settings import GSI_ENERGIES_KEV, PHASES, PhantomSettings
from gsigpu.phantom.tissues import calcium_hu_per_mg_per_ml
from gsigpu.phantom.truth import PhantomTruth, plan_phantom
from gsigpu.physics import iodine_hu_per_mg_per_ml
from gsigpu.volume import VolumeGeometry

Progress = Callable[[int, int], None]

CONVENTIONAL_KEV = 68.0  # a 120 kVp image of a body looks about like this
_INTERCEPT_HU = -1024.0
_MOST_STORED = 4095  # 12 bits, as scanners clip


@dataclass(frozen=True, slots=True)
class _Image:
    """One image of a slice: which quantity, at which energy, and the series that takes it."""

    phase: str
    sink: Sink
    index_in_series: int
    index_of_noise: int
    energy_kev: float | None = None
    quantity: Quantity | None = None
    is_iodine: bool = False


def write_phantom(
    out: Path,
    settings: PhantomSettings | None = None,
    *,
    lesions: tuple[Lesion, ...] | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> PhantomTruth:
    """Write a synthetic study and what is known about it.

    out : gets `dicom/` (the export), `masks/` (lesions, liver, vessels, aorta as NIfTI), `truth.json`
    settings : default PhantomSettings()
    lesions : instead of random ones
    overwrite : replace a phantom that is there; anything else is never replaced
    progress : called with (slices done, slices in all)
    Returns the truth; `truth.composition()` gives every voxel before noise.
    Raises OutputError if `out` holds something, SettingsError if the lesions do not fit.
    """
    truth = plan_phantom(settings or PhantomSettings(), lesions=lesions)
    with output_folder(Path(out), overwrite=overwrite) as folder:
        _write_study(replace(truth, folder=folder), progress)
    return replace(truth, folder=Path(out))


@contextmanager
def output_folder(out: Path, *, overwrite: bool) -> Iterator[Path]:
    """A temporary folder that becomes `out` when all went well, and vanishes when not.

    Raises OutputError if `out` holds something other than a phantom to be overwritten.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        if not overwrite:
            raise OutputError(
                "exists already and is not empty",
                where=out,
                remedy="choose another folder, or overwrite it",
            )
        if not (out / "truth.json").is_file():
            raise OutputError(
                "holds no phantom, so it is not overwritten",
                where=out,
                remedy="choose another folder",
            )
    partial = out.with_name(f".{out.name}.{os.getpid()}.partial")
    try:
        partial.mkdir(parents=True)
    except OSError as error:
        raise OutputError(
            f"cannot be made ({error.strerror})", where=partial, remedy="check the folder above it"
        ) from error
    try:
        yield partial
        if out.exists():
            shutil.rmtree(out)
        partial.rename(out)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _write_study(truth: PhantomTruth, progress: Progress | None) -> None:
    settings, geometry = truth.settings, truth.geometry
    study_uid = phantom_uid(settings, "study")
    sinks, images = _planned_series(truth, study_uid)
    worker = _SliceWriter(settings, geometry, truth.painter(), images)
    (truth.lesion_mask.parent).mkdir()
    n_z = geometry.shape[0]
    with (
        _mask_writers(truth) as masks,
        ThreadPoolExecutor(max_workers=min(os.cpu_count() or 1, 8)) as pool,
    ):
        for n_done, planes in enumerate(pool.map(worker.write, range(n_z)), start=1):
            for name, plane in planes.items():
                masks[name](plane)
            if progress is not None:
                progress(n_done, n_z)
    for sink in sinks:
        sink.close()
    write_extras(truth, study_uid)
    truth.write_json(truth.dicom_folder.parent / "truth.json")


def _planned_series(truth: PhantomTruth, study_uid: str) -> tuple[list[Sink], list[_Image]]:
    """The series to be written, and for each slice the images they get."""
    settings, geometry = truth.settings, truth.geometry
    vendor = VENDORS[settings.vendor]
    sinks: list[Sink] = []
    images: list[_Image] = []
    energies = settings.energies_kev
    number = 300

    def header(phase: str, description: str) -> Any:
        nonlocal number
        number += 1
        name = vendor.phase_names[phase]
        return series_dataset(
            settings, study_uid, geometry,
            number=number, description=description.format(phase=name), phase=phase,
        )  # fmt: skip

    def classic(dataset: Any, phase: str, per_image: tuple[dict[str, Any], ...] = ({},)) -> Sink:
        series_uid, series_number = dataset.SeriesInstanceUID, number
        naming = _naming(settings)

        def path_of(instance: int) -> Path:
            return export_name(truth.dicom_folder, series_uid, series_number, instance, naming)

        sink = ClassicSink(
            dataset, geometry, settings.transfer_syntax, path_of, len(per_image), per_image
        )
        sinks.append(sink)
        return sink

    for phase in settings.phases:
        together = settings.layout.endswith("interleaved")
        groups = [energies] if together else [(kev,) for kev in energies]
        for group in groups:
            description = vendor.interleaved if together else vendor.mono
            dataset = header(phase, description.replace("{kev}", f"{group[0]:g}"))
            sink: Sink
            if settings.layout.startswith("enhanced"):
                full = enhanced_dataset(dataset, settings, geometry, phase, group)
                name = export_name(
                    truth.dicom_folder, dataset.SeriesInstanceUID, number, 1, _naming(settings)
                )
                sink = MultiframeSink(full, geometry, settings.transfer_syntax, name, len(group))
                sinks.append(sink)
            else:
                add_classic_image(dataset, settings, geometry, phase)
                if settings.supplement_188:
                    add_multi_energy(dataset, "VMI", group[0])
                changes = tuple(energy_changes(settings, kev) if together else {} for kev in group)
                sink = classic(dataset, phase, changes)
            images += [
                _Image(phase, sink, index, energies.index(kev), energy_kev=kev)
                for index, kev in enumerate(group)
            ]
        for extra, quantity in (("iodine", vendor.iodine), ("water", vendor.water)):
            if extra in settings.extras:
                dataset = header(phase, quantity.description)
                add_classic_image(dataset, settings, geometry, phase)
                window = (2.5, 5.0) if extra == "iodine" else (1050.0 + quantity.offset, 300.0)
                scale = quantity.factor if extra == "iodine" else 1.0
                add_rescale(
                    dataset, slope=quantity.step, intercept=0.0, rescale_type=quantity.rescale_type,
                    window=(window[0] * scale, window[1] * scale),
                )  # fmt: skip
                if settings.supplement_188:
                    add_multi_energy(dataset, quantity.image_type, None)
                images.append(
                    _Image(
                        phase, classic(dataset, phase), 0, 0,
                        quantity=quantity, is_iodine=extra == "iodine",
                    )
                )  # fmt: skip
        if "conventional" in settings.extras:
            dataset = header(phase, vendor.conventional)
            add_classic_image(dataset, settings, geometry, phase)
            dataset.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
            dataset.KVP = "120"
            images.append(
                _Image(phase, classic(dataset, phase), 0, len(energies), CONVENTIONAL_KEV)
            )
    return sinks, images


def _naming(settings: PhantomSettings) -> str:
    if settings.shuffle_names:
        return "shuffled"
    return "file-id" if "dicomdir" in settings.extras else "plain"


class _SliceWriter:
    """Paints a slice, adds noise, and hands every image of it to its series."""

    def __init__(
        self,
        settings: PhantomSettings,
        geometry: VolumeGeometry,
        painter: Painter,
        images: list[_Image],
    ) -> None:
        self._settings = settings
        self._geometry = geometry
        self._painter = painter
        self._images = images
        self._noise = NoiseModel(
            settings.noise_hu, settings.noise_ratio_40, settings.noise_independent
        )
        # What water-iodine decomposition makes of 1 mg/mL of calcium.
        design = np.column_stack(
            [np.ones(len(GSI_ENERGIES_KEV)), iodine_hu_per_mg_per_ml(GSI_ENERGIES_KEV)]
        )
        self._calcium_as = np.linalg.lstsq(design, calcium_hu_per_mg_per_ml(GSI_ENERGIES_KEV))[0]
        y, x = (
            (np.arange(n) - (n - 1) / 2.0) * mm
            for n, mm in zip(geometry.shape[1:], geometry.spacing_mm[1:], strict=True)
        )
        radius_mm = (
            max(n * mm for n, mm in zip(geometry.shape[1:], geometry.spacing_mm[1:], strict=True))
            / 2.0
        )
        self._outside = (
            np.hypot(y[:, None], x[None, :]) > radius_mm if settings.with_padding else None
        )

    def write(self, z_index: int) -> Mapping[str, NDArray[np.uint8]]:
        """All images of slice `z_index`; returns its masks."""
        painted = self._painter.paint(z_index)
        for phase in self._settings.phases:
            noise = self._noise_of(phase, z_index)
            for image in self._images:
                if image.phase == phase:
                    stored = self._stored(image, painted.composition, noise)
                    if self._outside is not None:
                        stored[self._outside] = PADDING
                    image.sink.write(z_index, image.index_in_series, stored)
        return painted.masks

    def _noise_of(self, phase: str, z_index: int) -> BasisNoise | None:
        if self._settings.noise_hu == 0.0:
            return None
        rng = np.random.default_rng((self._settings.seed, 3, PHASES.index(phase), z_index))
        spacing = self._geometry.spacing_mm
        return basis_noise(
            self._noise,
            len(self._settings.energies_kev) + 1,
            self._geometry.shape[1:],
            (spacing[1], spacing[2]),
            self._settings.noise_peak_per_mm,
            rng,
        )

    def _stored(self, image: _Image, truth: Composition, noise: BasisNoise | None) -> Stored:
        if image.quantity is None:
            assert image.energy_kev is not None
            value = truth.hu(image.phase, image.energy_kev)
            if noise is not None:
                value += noise.hu(image.energy_kev, image.index_of_noise)
            return np.clip(np.rint(value - _INTERCEPT_HU), 0, _MOST_STORED).astype(np.int16)
        as_water, as_iodine = np.float32(self._calcium_as)
        if image.is_iodine:
            value = truth.iodine[image.phase] + as_iodine * truth.calcium
        else:
            value = truth.water + as_water * truth.calcium
        if noise is not None:
            value = value + (noise.iodine if image.is_iodine else noise.water)
        scaled = (value + image.quantity.offset) * image.quantity.factor / image.quantity.step
        return np.clip(np.rint(scaled), -32768, 32767).astype(np.int16)


@contextmanager
def _mask_writers(
    truth: PhantomTruth,
) -> Iterator[Mapping[str, Callable[[NDArray[np.uint8]], Any]]]:
    """A writer per mask that takes its planes in order, so that no volume is held."""
    paths = {
        "lesions": truth.lesion_mask,
        "liver": truth.liver_mask,
        "vessels": truth.vessel_mask,
        "aorta": truth.aorta_mask,
    }
    header = nifti_header(truth.geometry)
    files = {}
    try:
        for name, path in paths.items():
            # No time and no name in the gzip header: the same phantom gives the same bytes.
            files[name] = gzip.GzipFile("", "wb", 6, path.open("wb"), mtime=0)
            files[name].write(header)
        yield {name: lambda plane, f=file: f.write(plane.tobytes()) for name, file in files.items()}
    finally:
        for file in files.values():
            raw = file.fileobj
            file.close()
            raw.close()


def nifti_header(geometry: VolumeGeometry) -> bytes:
    """All bytes of an uncompressed NIfTI-1 label volume up to its first voxel."""
    image = nibabel.Nifti1Image(np.zeros((1, 1, 1), np.uint8), geometry.affine_ras, dtype=np.uint8)
    image.header.set_data_shape(geometry.shape[::-1])
    image.header.set_xyzt_units("mm")
    image.header["vox_offset"] = 352
    image.header["magic"] = b"n+1"
    return bytes(image.header.binaryblock) + b"\0\0\0\0"
