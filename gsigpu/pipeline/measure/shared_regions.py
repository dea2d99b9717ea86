"""Masks read and regions made once for all phases of a study that share a grid."""

from __future__ import annotations

from dataclasses import dataclass

from gsigpu.dicom.model import SpectralStack, Study
from gsigpu.errors import WrongPhase
from gsigpu.masks.layers import Owner
from gsigpu.pipeline.measure.carried_masks import masks_on_stack
from gsigpu.pipeline.measure.collected_masks import CollectedMasks
from gsigpu.pipeline.measure.given_masks import MaskFiles
from gsigpu.pipeline.measure.study_owner import owner_of
from gsigpu.pipeline.stack_source import PlaneStore
from gsigpu.regions.boundary import SignedDistances, signed_distance_mm
from gsigpu.regions.region_layout import Layout, RegionSettings, lay_out
from gsigpu.volume import VolumeGeometry


@dataclass(frozen=True, slots=True)
class _Made:
    """What was made for a phase, and what it depends on beside the phase.

    geometry : of the phase, with its frame of reference
    patient_id, study_uid : whose masks were accepted
    """

    geometry: VolumeGeometry
    patient_id: str
    study_uid: str
    collected: CollectedMasks
    layout: Layout

    def serves(self, geometry: VolumeGeometry, owner: Owner) -> bool:
        """Whether reading all over again would give the same: one grid, one owner, no mask of another phase."""
        is_same = (self.geometry, self.patient_id, self.study_uid) == (
            geometry,
            owner.patient_id,
            owner.study_uid,
        )
        return is_same and all(owner.accepts(phases) for phases in self.collected.phases)


class SharedRegions:
    """The masks of one study on the grids of its phases, and the regions made of them."""

    def __init__(self, files: MaskFiles, settings: RegionSettings, *, n_workers: int = 1) -> None:
        """`n_workers` : files that are read at once."""
        self._files, self._settings, self._n_workers = files, settings, n_workers
        self._made: list[_Made] = []

    def of(
        self,
        study: Study,
        stack: SpectralStack,
        *,
        signed: SignedDistances = signed_distance_mm,
        store: PlaneStore | None = None,
    ) -> tuple[CollectedMasks, Layout]:
        """Masks and regions of a phase: those of an earlier one where reading the files again would give them.

        signed : computes distances to boundaries, box by box
        store : of the planes, where others read them too
        Raises what `masks_on_stack` and `lay_out` raise.
        """
        owner = owner_of(study, stack, any_phase=self._files.any_phase)
        grid = stack.geometry
        for made in self._made:
            if made.serves(grid, owner):
                return made.collected, made.layout
        collected = masks_on_stack(
            self._files, study, stack, n_workers=self._n_workers, store=store
        )
        layout = lay_out(
            collected.masks, grid.spacing_mm, grid.shape, self._settings, signed=signed
        )
        # A mask that was refused for this phase may be one of the next, and one that was carried here lies elsewhere there.
        # And a program draws what it sees in each phase.
        if not (self._files.drawn_on or self._files.segment) and not any(
            isinstance(failure.error, WrongPhase) for failure in collected.failures
        ):
            self._made.append(
                _Made(
                    geometry=grid,
                    patient_id=owner.patient_id,
                    study_uid=owner.study_uid,
                    collected=collected,
                    layout=layout,
                )
            )
        return collected, layout
