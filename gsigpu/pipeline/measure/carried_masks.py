"""Masks that were drawn on one phase, carried over to the phase that is measured."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from gsigpu.automatic_masks.mask_cache import region_digest
from gsigpu.caution import Caution
from gsigpu.dicom.model import SpectralStack, Study
from gsigpu.dicom.reading.hu_planes import rescaled
from gsigpu.errors import MaskError, OutsideStudy, PoorRegistration, SettingsError
from gsigpu.image_volume import ImageVolume
from gsigpu.maps import water_iodine
from gsigpu.optional_packages import named_where_absent
from gsigpu.phase_words import phase_words
from gsigpu.pipeline.choose_stack import choose_stack
from gsigpu.pipeline.measure.collected_masks import (
    CarriedLesion,
    CollectedMasks,
    DrawnMasks,
    Failure,
)
from gsigpu.pipeline.measure.given_masks import MaskFiles
from gsigpu.pipeline.measure.kept_registrations import KeptRegistrations
from gsigpu.pipeline.measure.registration_cuts import lesion_cuts, shown_lesions
from gsigpu.pipeline.measure.study_masks import collect_masks
from gsigpu.pipeline.stack_source import PlaneStore
from gsigpu.regions.region_layout import Lesion, StudyMasks
from gsigpu.regions.region_mask import RegionMask, union

# An offset that the images prove, from which a lesion is refused: as far off, the rim of 3 mm lies in the core's place.
REFUSED_MM = 3.0
# An offset that they leave possible, from which a lesion is told of.
DOUBTFUL_MM = 3.0
# Around lesions, where no liver is given: with less, too little of borders and vessels to hold on to, with more, fewer samples
# where it matters. Least Dice of eight lesions 0.90 and 0.93 on two phantoms (design/021).
_AROUND_LESIONS_MM = 50.0
# Where HU is near its least noise, and beside it the highest energy: monoenergetic images are made of two basis
# images, so that two of them hold all that there is, and the higher one adds little noise.
_LOW_KEV = 70.0


def masks_on_stack(
    files: MaskFiles,
    study: Study,
    stack: SpectralStack,
    *,
    n_workers: int = 1,
    store: PlaneStore | None = None,
) -> CollectedMasks:
    """The masks of a study on the grid of a stack, carried over from the phase that they were drawn on where asked.

    n_workers : mask files that are read at once
    store : of the planes, where others read them too: what is registered, or shown to a program, is kept there

    Raises what `collect_masks` raises, SettingsError where masks of another phase are not to be carried, GeometryError
    where the phases do not show the same part of the body, and the error of the last lesion where none is left.
    """
    store = store or PlaneStore()
    if not files.drawn_on:
        return collect_masks(files, study, stack, n_workers=n_workers, store=store)
    drawn = choose_stack(study, phase=files.drawn_on).stack
    if drawn.phase == stack.phase:
        return collect_masks(files, study, stack, n_workers=n_workers, store=store)
    if not files.register:
        raise SettingsError(
            f"the masks are of {phase_words(drawn.phase)}, and {phase_words(stack.phase)} is measured",
            remedy="add --register to carry them over",
        )
    collected = collect_masks(files, study, drawn, n_workers=n_workers, store=store)
    return _carried(
        collected,
        drawn,
        stack,
        files.registrations or KeptRegistrations(),
        store,
        pictured=files.pictured,
    )


def _carried(
    collected: CollectedMasks,
    drawn: SpectralStack,
    stack: SpectralStack,
    kept: KeptRegistrations,
    store: PlaneStore,
    *,
    pictured: bool,
) -> CollectedMasks:
    # Registration imports SimpleITK, which takes longer than most measurements.
    with named_where_absent("--register"):
        from gsigpu.registration.carry import carried
        from gsigpu.registration.offset import offset_left
        from gsigpu.registration.register import register

    there, here = drawn.geometry, stack.geometry
    masks = collected.masks
    around, border_mm = _to_hold_on_to(masks)
    seen = tuple(series.evidence.series_uid for of in (stack, drawn) for series in of.series)
    registration = kept.of(
        (stack.phase, drawn.phase, seen, region_digest(around, there), border_mm),
        # The phase that the masks lie on is registered with each of the others.
        lambda: register(
            _water(stack, store), _water(drawn, store, stays=True), around, border_mm=border_mm
        ),
    )
    lesions: list[Lesion] = []
    told: list[CarriedLesion] = []
    failures: list[Failure] = []
    for lesion in masks.lesions:
        try:
            laid = carried(lesion.mask, there, here, registration)
            offset = offset_left(laid.mask, here, registration)
            if offset.proven_mm >= REFUSED_MM:
                raise PoorRegistration(
                    f"lesion {lesion.lesion_id} lies {offset.proven_mm:.0f} mm or more off its place in {phase_words(stack.phase)}"
                    " after registration",
                    remedy=f"draw it on {phase_words(stack.phase)}, and leave --register out",
                )
        except MaskError as error:
            failures.append(Failure(lesion.lesion_id, lesion.mask.n_voxels, error))
            continue
        lesions.append(replace(lesion, mask=laid.mask))
        told.append(
            CarriedLesion(
                lesion_id=lesion.lesion_id,
                shift_mm=float(np.linalg.norm(laid.moved_mm)),
                volume_ratio=laid.volume_ratio,
                proven_offset_mm=offset.proven_mm,
                possible_offset_mm=offset.possible_mm,
            )
        )
    if failures and not lesions:
        raise failures[-1].error

    def organ(mask: RegionMask | None) -> RegionMask | None:
        try:
            return None if mask is None else carried(mask, there, here, registration).mask
        except OutsideStudy as error:
            lost.append(
                Caution(
                    "absent-structure",
                    f"{error.what}; in {phase_words(stack.phase)} it is taken as absent",
                )
            )
            return None

    lost: list[Caution] = []
    doubts = [
        Caution(
            "registration",
            f"lesion {lesion.lesion_id} was carried over from {phase_words(drawn.phase)} and may lie up to"
            f" {lesion.possible_offset_mm:.0f} mm off its place: look at it with `gsigpu review`",
            lesion.lesion_id,
        )
        for lesion in told
        if lesion.possible_offset_mm > DOUBTFUL_MM
    ]
    before = {lesion.lesion_id: lesion.mask for lesion in masks.lesions}
    after = {lesion.lesion_id: lesion.mask for lesion in lesions}
    cuts = {
        name: lesion_cuts(drawn, before[name], stack, after[name], store)
        for name in (shown_lesions(after, after) if pictured else ())
    }
    laid_masks = StudyMasks(
        organ_flags=masks.organ_flags,
        lesions=tuple(lesions),
        liver=organ(masks.liver),
        vessels=organ(masks.vessels),
        aorta=organ(masks.aorta),
        normal=organ(masks.normal),
        named=tuple(
            (name, region) for name, mask in masks.named if (region := organ(mask)) is not None
        ),
    )
    return replace(
        collected,
        masks=laid_masks,
        failures=(*collected.failures, *failures),
        warnings=(*collected.warnings, *doubts, *lost),
        drawn_on=drawn.phase,
        drawn=DrawnMasks(drawn, before, cuts),
        carried=tuple(told),
    )


def _water(stack: SpectralStack, store: PlaneStore, *, stays: bool = False) -> ImageVolume:
    """The virtual non-contrast image of a stack, HU, float32; NaN where it has no value.

    stays : see `PlaneStore.look`
    Raises TooFewEnergies, the problem of a series if it has one, PixelDataError.
    """
    energies = water_iodine.at_least(2, "registration", stack.energies_kev)
    low = min(energies[:-1], key=lambda kev: abs(kev - _LOW_KEV))
    rows = water_iodine.vnc_rows((low, energies[-1]))
    values = np.full(stack.geometry.shape, np.float32(rows.offsets[0]))
    for kev, weight in zip((low, energies[-1]), rows.weights[0], strict=True):
        series = stack.series[stack.energies_kev.index(kev)]
        if series.problem is not None:
            raise series.problem
        for z, plane in enumerate(series.planes):
            values[z] += np.float32(weight) * rescaled([plane], store.look([plane], stays=stays))[0]
    return ImageVolume(values, geometry=stack.geometry, name="vnc", unit="HU")


def _to_hold_on_to(masks: StudyMasks) -> tuple[RegionMask, float]:
    """What is registered, and how far around it: the liver, or else all lesions and regions."""
    from gsigpu.registration.register import LIVER_BORDER_MM

    if masks.liver is not None:
        return masks.liver, LIVER_BORDER_MM
    members = [*(lesion.mask for lesion in masks.lesions), *(mask for _, mask in masks.named)]
    return union("around", members), _AROUND_LESIONS_MM
