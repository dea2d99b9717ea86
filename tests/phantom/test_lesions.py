"""Lesions: where they are put, how large they come out, and what is refused."""

import math

import numpy as np
import pytest

from gsigpu.choices import PHASES
from gsigpu.errors import SettingsError
from gsigpu.phantom import Lesion, PhantomSettings, plan_phantom

SMALL = PhantomSettings(shape=(24, 60, 80), spacing_mm=(5.0, 4.4, 4.5), phases=("PVP",))


def painted(truth):
    painter = truth.painter()
    return [painter.paint(z) for z in range(truth.geometry.shape[0])]


def flat_lesion(label, centre_mm, radii_mm, rim_mm, core, rim):
    return Lesion(
        label, centre_mm, radii_mm, rim_mm,
        dict.fromkeys(PHASES, core), dict.fromkeys(PHASES, rim),
    )  # fmt: skip


@pytest.mark.parametrize("seed", range(3))
def test_lesions_lie_in_the_liver_clear_of_vessels_and_of_one_another(seed):
    truth = plan_phantom(
        PhantomSettings(
            shape=SMALL.shape, spacing_mm=SMALL.spacing_mm, phases=("PVP",), seed=seed, n_lesions=6
        )
    )
    masks = [painting.masks for painting in painted(truth)]
    lesions, liver, vessels = (
        np.stack([mask[name] for mask in masks]) for name in ("lesions", "liver", "vessels")
    )
    assert set(np.unique(lesions)) == set(range(7))
    assert liver[lesions > 0].all()
    assert not vessels[lesions > 0].any()
    for a in truth.lesions:
        for b in truth.lesions:
            if a.label < b.label:
                gap = math.dist(a.centre_mm, b.centre_mm) - max(a.radii_mm) - max(b.radii_mm)
                assert gap > 0.0


def test_volume_and_iodine_are_those_of_the_closed_form():
    settings = PhantomSettings(
        shape=(24, 60, 80), spacing_mm=(2.5, 4.6, 4.7), phases=("PVP",), texture_mg_per_ml=0.0,
        n_lesions=1, diameter_mm=(31.0, 32.0), seed=4,
    )  # fmt: skip
    (placed,) = plan_phantom(settings).lesions  # clear of vessels and of the liver's surface
    lesion = flat_lesion(1, placed.centre_mm, (13.0, 11.0, 12.0), 3.0, 1.0, 2.0)
    assert lesion.volume_ml == pytest.approx(4 / 3 * math.pi * 1.3 * 1.1 * 1.2)
    assert lesion.core_volume_ml == pytest.approx(4 / 3 * math.pi * 1.0 * 0.8 * 0.9)
    truth = plan_phantom(settings, lesions=(lesion,))
    iodine, bare = (
        np.stack([painting.composition.iodine["PVP"] for painting in painted(t)]).astype(float)
        for t in (truth, plan_phantom(settings, lesions=()))
    )
    changed = iodine != bare
    assert bare[changed] == pytest.approx(2.2)  # parenchyma all around
    # Σ (c - liver) over the voxels = volumes of core and rim times what they differ from the liver.
    excess_mg = (iodine - bare).sum() * truth.geometry.voxel_volume_ml
    core_ml, rim_ml = lesion.core_volume_ml, lesion.volume_ml - lesion.core_volume_ml
    assert excess_mg == pytest.approx(core_ml * (1.0 - 2.2) + rim_ml * (2.0 - 2.2), rel=0.01)
    n_mask = sum((painting.masks["lesions"] == 1).sum() for painting in painted(truth))
    assert n_mask * truth.geometry.voxel_volume_ml == pytest.approx(lesion.volume_ml, rel=0.05)


def test_hard_boundaries_hold_pure_tissues_only():
    lesion = flat_lesion(1, (-80.0, 10.0, 0.0), (14.0, 14.0, 14.0), 4.0, 1.0, 2.0)
    settings = PhantomSettings(
        shape=SMALL.shape, spacing_mm=SMALL.spacing_mm, phases=("PVP",),
        texture_mg_per_ml=0.0, partial_volume=False,
    )  # fmt: skip
    truth = plan_phantom(settings, lesions=(lesion,))
    for painting in painted(truth):
        inside = painting.masks["lesions"] == 1
        assert set(np.unique(painting.composition.iodine["PVP"][inside])) <= {1.0, 2.0}


def test_lesions_that_do_not_fit_are_refused():
    with pytest.raises(SettingsError, match="fit into the liver"):
        plan_phantom(PhantomSettings(n_lesions=3, diameter_mm=(90.0, 95.0)))


def test_the_primary_chooses_the_iodine():
    def rim(primary):
        settings = PhantomSettings(primary=primary, iodine_variation=0.0, n_lesions=1)
        return plan_phantom(settings).lesions[0].rim_iodine_mg_per_ml["PVP"]

    assert rim("breast") > rim("lung") > rim("gastric") > rim("colorectal") > rim("pancreatic")
