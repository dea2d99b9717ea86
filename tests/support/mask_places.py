"""A folder of masks for a study of two phases, and the masks that go wrong in it."""

from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path

import nibabel
import numpy as np
import pydicom
import SimpleITK

from gsigpu.dicom.study.read_study import read_study
from gsigpu.dicom.study.stack import select_stack
from tests.masks.test_read_masks import itk_image
from tests.support.dicom_files import ct_dataset, save
from tests.support.rtstruct import drawn_on_slice, structure_set
from tests.support.segmentations import segmentation

SHAPE = (8, 60, 60)  # 40 x 240 x 240 mm
FIRST = (slice(2, 5), slice(20, 26), slice(20, 26))
SECOND = (slice(2, 5), slice(40, 46), slice(40, 46))
WIDE = (slice(1, 7), slice(5, 55), slice(5, 55))


@dataclass
class Place:
    """A folder of a scenario, and the study it is about."""

    folder: Path
    study: Path
    geometry: dict
    datasets: dict

    def file(self, name):
        return self.folder / name

    def labels(self, regions):
        labels = np.zeros(SHAPE, np.uint8)
        for label, box in regions.items():
            labels[box] = label
        return labels

    def shifted(self, mm):
        """The position of the study in RAS, so far from it."""
        affine = self.geometry["PVP"].affine_ras.copy()
        affine[:3, 3] += mm
        return affine

    def nifti(self, name, regions, *, phase="PVP", sform="grid", qform=None, spacing_mm=None):
        affine = self.geometry[phase].affine_ras
        image = nibabel.Nifti1Image(self.labels(regions).T, None)
        image.header.set_zooms(spacing_mm or self.geometry[phase].spacing_mm[::-1])
        place = affine if isinstance(sform, str) else sform
        image.header.set_sform(place, code=0 if place is None else 1)
        image.header.set_qform(qform, code=0 if qform is None else 1)
        nibabel.save(image, self.file(name))

    def slicer(self, name, regions):
        labels = self.labels(dict(enumerate(regions.values(), start=1)))
        image = itk_image(labels, self.geometry["PVP"])
        for number, segment in enumerate(regions):
            image.SetMetaData(f"Segment{number}_Name", segment)
            image.SetMetaData(f"Segment{number}_LabelValue", str(number + 1))
        SimpleITK.WriteImage(image, str(self.file(name)))

    def seg(self, name="m.dcm", *, phase="PVP", box=FIRST, change=lambda seg: None):
        labels = np.zeros(SHAPE, np.uint8)
        labels[box] = 1
        seg = segmentation(deepcopy(self.datasets[phase]), labels, "BINARY", {1: "Met 1"})
        change(seg)
        pydicom.dcmwrite(self.file(name), seg)

    def structures(
        self, heights=(2, 3, 4), name="m.dcm", *, change=lambda ds: None, points=None, **header
    ):
        square = np.array([[19.5, 19.5], [19.5, 25.5], [25.5, 25.5], [25.5, 19.5]])
        grid = self.geometry["PVP"]
        drawn = [drawn_on_slice(square, z, grid) for z in heights] if points is None else points
        header.setdefault("frame_uid", grid.frame_of_reference_uid)
        rois = {1: ("Met 1", drawn)} | ({2: ("Met 2", drawn)} if "frame_of_roi" in header else {})
        ds = structure_set(rois, **header)
        ds.StudyInstanceUID = header.get("study_uid", self.datasets["PVP"][0].StudyInstanceUID)
        change(ds)
        save(ds, self.file(name))


def written_study(folder, *, arterial_shift_mm=1.7):
    """Two phases, of which the arterial lies so much higher; soft tissue everywhere."""
    datasets = {"AP": [], "PVP": []}
    for phase, shift in (("AP", arterial_shift_mm), ("PVP", 0.0)):
        for kev in (60, 70, 100):
            for z in range(SHAPE[0]):
                ds = ct_dataset(
                    np.full(SHAPE[1:], 100 + kev, np.int16),
                    position_mm=(-120.0, -118.0, 2.0 + 5.0 * z + shift),
                    instance_number=z + 1,
                    series=f"{phase}{kev}",
                    SeriesDescription=f"{phase} Mono {kev} keV",
                    PixelSpacing=[4.0, 4.0],
                )
                save(ds, folder / phase / f"{kev}-{z}.dcm")
                if kev == 70:
                    datasets[phase].append(ds)
    study = read_study(folder)
    geometry = {phase: select_stack(study, phase=phase).geometry for phase in datasets}
    return folder, geometry, datasets
