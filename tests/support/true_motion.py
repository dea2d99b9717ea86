"""The registration that a phantom's own field is: for tests of what comes after registration."""

import numpy as np

from gsigpu.phantom.motion import Motion
from gsigpu.registration.images import image_of, sitk
from gsigpu.registration.register import Registration


def true_registration(motion_mm):
    """A stand-in for `register` with the field of a phantom, whose moved phase is measured."""
    motion = Motion(*motion_mm)

    def register(fixed, moving, _region, **_settings):
        grid = fixed.geometry
        z, y, x = np.indices(grid.shape)
        ones = np.ones(z.shape)
        points = np.stack([x, y, z, ones], axis=-1) @ grid.affine_lps.T
        places = [points[..., axis] for axis in range(3)]
        ways = np.stack(motion.at_rest(*places), axis=-1) - points[..., :3]
        field = sitk.GetImageFromArray(ways, isVector=True)
        field.CopyInformation(image_of(fixed.array, grid, (0.0, 0.0, 0.0)))
        return Registration(
            fixed=image_of(np.clip(np.nan_to_num(fixed.array, nan=-150.0), -150.0, 250.0), grid, (0.0, 0.0, 0.0)),
            moving=image_of(np.clip(np.nan_to_num(moving.array, nan=-150.0), -150.0, 250.0), moving.geometry, (0.0, 0.0, 0.0)),
            rigid=sitk.Transform(3, sitk.sitkIdentity),
            transform=sitk.DisplacementFieldTransform(field),
        )  # fmt: skip

    return register
