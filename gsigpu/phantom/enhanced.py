"""The Enhanced CT Image object: one multi-frame file of all slices, of one or several energies."""

from __future__ import annotations

from pydicom.dataset import Dataset
from pydicom.tag import Tag
from pydicom.uid import EnhancedCTImageStorage

from gsigpu.dicom.writing.template import decimal
from gsigpu.phantom.dicom_files import phantom_uid
from gsigpu.phantom.multi_energy import HU, acquisition, characteristics, real_world_value
from gsigpu.phantom.phantom_settings import PhantomSettings
from gsigpu.phantom.vendor_headers import (
    INTERCEPT_HU,
    PADDING,
    VENDORS,
    add_pixel_module,
    code,
    decimal_mm,
    item,
)
from gsigpu.volume import VolumeGeometry

_DURATION_S = 5.0
_IN_STACK_POSITION = Tag("InStackPositionNumber")
_MONO_ENERGY = Tag("MonoenergeticEnergyEquivalent")


def add_enhanced_image(
    ds: Dataset,
    settings: PhantomSettings,
    geometry: VolumeGeometry,
    phase: str,
    energies_kev: tuple[float, ...],
) -> None:
    """Everything of an Enhanced CT Image but the pixels, added to the series dataset `ds`.

    Frames run over slices, and within a slice over `energies_kev`. The energy of a frame is written
    where Supplement 188 has it; always, if there are several.
    """
    with_energy = settings.supplement_188 or len(energies_kev) > 1
    frame_type = ["DERIVED", "PRIMARY", "VOLUME", "VMI" if with_energy else "NONE"]
    ds.SOPClassUID = EnhancedCTImageStorage
    ds.SOPInstanceUID = phantom_uid(ds.SeriesInstanceUID, 1)
    ds.InstanceNumber = "1"
    ds.AcquisitionNumber = str(1 + settings.phases.index(phase))
    ds.AcquisitionDateTime = ds.AcquisitionDate + ds.AcquisitionTime
    ds.AcquisitionDuration = _DURATION_S
    ds.ImageType = frame_type
    _add_frame_type(ds)
    if with_energy:
        ds.MultienergyCTAcquisition = "YES"
        paths = acquisition(ds, settings)
        ds.update({element.tag: element for element in paths if element.VR == "SQ"})
    ds.ContentQualification = "RESEARCH"
    ds.BurnedInAnnotation = "NO"
    ds.LossyImageCompression = "00"
    ds.PresentationLUTShape = "IDENTITY"
    ds.AcquisitionContextSequence = []
    add_pixel_module(ds, geometry)
    if settings.with_padding:
        ds.PixelPaddingValue = PADDING
    n_frames = geometry.shape[0] * len(energies_kev)
    ds.NumberOfFrames = str(n_frames)
    _add_dimensions(ds, with_energy=with_energy)
    ds.SharedFunctionalGroupsSequence = [
        _shared_groups(settings, geometry, frame_type, phantom_uid(ds.StudyInstanceUID, phase))
    ]
    # Functional groups tell these times.
    del ds.AcquisitionDate, ds.AcquisitionTime
    ds.PerFrameFunctionalGroupsSequence = [
        _frame_groups(ds, geometry, z, energies_kev if with_energy else (), index)
        for z in range(geometry.shape[0])
        for index in range(len(energies_kev))
    ]


def _add_frame_type(ds: Dataset) -> None:
    ds.PixelPresentation = "MONOCHROME"
    ds.VolumetricProperties = "VOLUME"
    ds.VolumeBasedCalculationTechnique = "NONE"


def _add_dimensions(ds: Dataset, *, with_energy: bool) -> None:
    organisation = phantom_uid(ds.SeriesInstanceUID, "dimensions")
    ds.DimensionOrganizationSequence = [item(DimensionOrganizationUID=organisation)]
    pointers = [(_IN_STACK_POSITION, Tag("FrameContentSequence"))]
    if with_energy:
        pointers.append((_MONO_ENERGY, Tag("MultienergyCTCharacteristicsSequence")))
    ds.DimensionIndexSequence = [
        item(
            DimensionOrganizationUID=organisation,
            DimensionIndexPointer=pointer,
            FunctionalGroupPointer=group,
        )
        for pointer, group in pointers
    ]


def _shared_groups(
    settings: PhantomSettings, geometry: VolumeGeometry, frame_type: list[str], event_uid: str
) -> Dataset:
    z_mm, y_mm, x_mm = geometry.spacing_mm
    kind = item(FrameType=frame_type)
    _add_frame_type(kind)
    liver = code("10200004", "SCT", "Liver")
    return item(
        PixelMeasuresSequence=[
            item(
                PixelSpacing=[decimal_mm(y_mm), decimal_mm(x_mm)],
                SliceThickness=decimal_mm(z_mm),
                SpacingBetweenSlices=decimal_mm(z_mm),
            )
        ],
        PlaneOrientationSequence=[item(ImageOrientationPatient=["1", "0", "0", "0", "1", "0"])],
        CTImageFrameTypeSequence=[kind],
        FrameAnatomySequence=[item(AnatomicRegionSequence=[liver], FrameLaterality="U")],
        PixelValueTransformationSequence=[
            item(RescaleIntercept=decimal(INTERCEPT_HU), RescaleSlope="1", RescaleType="HU")
        ],
        RealWorldValueMappingSequence=[real_world_value(1.0, INTERCEPT_HU, HU)],
        IrradiationEventIdentificationSequence=[item(IrradiationEventUID=[event_uid])],
        FrameVOILUTSequence=[item(WindowCenter="60", WindowWidth="360")],
        CTReconstructionSequence=[
            item(
                ReconstructionAlgorithm="FILTER_BACK_PROJ",
                ConvolutionKernel=VENDORS[settings.vendor].kernel,
                ConvolutionKernelGroup="SOFT_TISSUE",
                ReconstructionDiameter=geometry.shape[2] * x_mm,
                ReconstructionPixelSpacing=[y_mm, x_mm],
                ReconstructionAngle=360.0,
                ImageFilter="NONE",
            )
        ],
    )


def _frame_groups(
    ds: Dataset, geometry: VolumeGeometry, z_index: int, energies_kev: tuple[float, ...], index: int
) -> Dataset:
    position = geometry.position_mm(z_index, 0, 0)
    moment = ds.AcquisitionDateTime
    content = item(
        FrameAcquisitionNumber=int(ds.AcquisitionNumber),
        FrameAcquisitionDateTime=moment,
        FrameReferenceDateTime=moment,
        FrameAcquisitionDuration=1000.0 * _DURATION_S,
        StackID="1",
        InStackPositionNumber=z_index + 1,
        DimensionIndexValues=[z_index + 1, index + 1] if energies_kev else [z_index + 1],
    )
    groups = item(
        FrameContentSequence=[content],
        PlanePositionSequence=[item(ImagePositionPatient=[decimal_mm(mm) for mm in position])],
    )
    if energies_kev:
        groups.MultienergyCTCharacteristicsSequence = [characteristics(energies_kev[index])]
    return groups
