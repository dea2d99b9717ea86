"""Headers of CT images as four vendors' scanners write them, as far as a reader of files can tell.

What differs between vendors and is imitated: manufacturer and model, how a series description names
energy and phase, ImageType, what the vendor's iodine and water series are called and stored in, and
private blocks. The blocks bear the vendors' private creators but hold nothing about the energy.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pydicom.dataset import Dataset
from pydicom.uid import CTImageStorage

from gsigpu.dicom.writing.template import decimal
from gsigpu.phantom.dicom_files import phantom_uid
from gsigpu.phantom.phantom_settings import PhantomSettings
from gsigpu.volume import VolumeGeometry

STUDY_DATE = "20240102"
# Seconds from the first scan to each phase's acquisition, as after one injection.
PHASE_DELAYS_S = {"NC": 0, "AP": 95, "PVP": 130, "DP": 240}
_FIRST_SCAN_S = 10 * 3600 + 15 * 60
INTERCEPT_HU = -1024.0
PADDING = -2000  # stored, as GE writes it


@dataclass(frozen=True, slots=True)
class Quantity:
    """A vendor's map: (iodine or water density in mg/mL + offset) * factor = step * stored.

    of_iodine : of iodine; otherwise of water
    factor : the shown unit per mg/mL; 10 for 100 µg/cm³
    offset : mg/mL; -1000 makes HU of a water density
    window : (centre, width) in the shown unit
    """

    of_iodine: bool
    description: str
    image_type: str
    rescale_type: str
    step: float
    window: tuple[float, float]
    factor: float = 1.0
    offset: float = 0.0


def _iodine(description: str) -> Quantity:
    return Quantity(
        of_iodine=True,
        description=description,
        image_type="MAT_SPECIFIC",
        rescale_type="MGML",
        step=0.01,
        window=(2.5, 5.0),
    )


def _vnc(description: str) -> Quantity:
    return Quantity(
        of_iodine=False,
        description=description,
        image_type="MAT_REMOVED",
        rescale_type="HU",
        step=1.0,
        window=(50.0, 300.0),
        offset=-1000.0,
    )


@dataclass(frozen=True, slots=True)
class Vendor:
    """One vendor's ways.

    mono : series description; `{phase}` and `{kev}` are filled in
    interleaved : the description of a series that holds all energies from `{kev}` to `{high}`
    phase_names : of NC, AP, PVP, DP
    technique : how two energies are had: `switching` of the tube, two `sources`, two `layers`
    private : (group, creator, element, VR, value) of private blocks
    """

    manufacturer: str
    model: str
    software: str
    kernel: str
    kvp: str
    mono: str
    interleaved: str
    conventional: str
    image_type: tuple[str, ...]
    phase_names: Mapping[str, str]
    iodine: Quantity
    water: Quantity
    technique: str
    private: tuple[tuple[int, str, int, str, object], ...]


VENDORS: Mapping[str, Vendor] = {
    "ge": Vendor(
        manufacturer="GE MEDICAL SYSTEMS",
        model="Revolution CT",
        software="phantom",
        kernel="STANDARD",
        kvp="140",
        mono="{phase} Mono {kev} keV",
        interleaved="{phase} GSI Mono {kev}-{high} keV",
        conventional="{phase} 120kVp-like",
        image_type=("DERIVED", "SECONDARY", "AXIAL"),
        phase_names={"NC": "NC", "AP": "AP", "PVP": "PVP", "DP": "Delayed"},
        iodine=Quantity(of_iodine=True, description="{phase} Iodine(Water)", image_type="MAT_SPECIFIC", rescale_type="100ug/cc", step=0.1, window=(25.0, 50.0), factor=10.0),
        water=Quantity(of_iodine=False, description="{phase} Water(Iodine)", image_type="MAT_SPECIFIC", rescale_type="mg/cc", step=1.0, window=(1050.0, 300.0)),
        technique="switching",
        private=(
            (0x0009, "GEMS_IDEN_01", 0x01, "LO", "CT_LIGHTSPEED"),
            (0x0009, "GEMS_IDEN_01", 0x02, "SH", "CT01"),
            (0x0019, "GEMS_ACQU_01", 0x02, "SL", 912),
            (0x0021, "GEMS_RELA_01", 0x03, "SS", 1),
            (0x0043, "GEMS_PARM_01", 0x10, "US", 400),
            (0x0045, "GEMS_HELIOS_01", 0x01, "SS", 64),
        ),
    ),
    "siemens": Vendor(
        manufacturer="SIEMENS",
        model="SOMATOM Force",
        software="phantom",
        kernel="Qr40d",
        kvp="100",
        mono="{phase} Monoenergetic Plus {kev} keV",
        interleaved="{phase} Monoenergetic Plus {kev}-{high} keV",
        conventional="{phase} DE Mixed 0.6",
        image_type=("DERIVED", "PRIMARY", "AXIAL", "CT_SOM5 SPI"),
        phase_names={"NC": "Native", "AP": "Arterial", "PVP": "Portal venous", "DP": "Delayed"},
        iodine=_iodine("{phase} Iodine Map"),
        water=_vnc("{phase} VNC"),
        technique="sources",
        private=(
            (0x0021, "SIEMENS MED", 0x10, "DS", "1"),
            (0x0029, "SIEMENS CSA HEADER", 0x08, "CS", "SOM 5"),
        ),
    ),
    "philips": Vendor(
        manufacturer="Philips",
        model="IQon - Spectral CT",
        software="phantom",
        kernel="B",
        kvp="120",
        mono="{phase} MonoE {kev}keV[HU]",
        interleaved="{phase} MonoE {kev}-{high}keV[HU]",
        conventional="{phase} Conventional",
        image_type=("DERIVED", "SECONDARY", "AXIAL", "SPECTRAL"),
        phase_names={"NC": "Non-contrast", "AP": "Arterial", "PVP": "Venous", "DP": "Delayed"},
        iodine=_iodine("{phase} Iodine Density[mg/ml]"),
        water=_vnc("{phase} VNC[HU]"),
        technique="layers",
        private=((0x00E1, "ELSCINT1", 0x50, "DS", "1"), (0x01F1, "ELSCINT1", 0x26, "DS", "0.5")),
    ),
    "canon": Vendor(
        manufacturer="CANON_MEC",
        model="Aquilion ONE",
        software="phantom",
        kernel="FC08",
        kvp="135",
        mono="{phase} Monochromatic {kev}keV",
        interleaved="{phase} Monochromatic {kev}-{high}keV",
        conventional="{phase} Body 120kV equivalent",
        image_type=("DERIVED", "PRIMARY", "AXIAL"),
        phase_names={"NC": "Plain", "AP": "Arterial", "PVP": "Portal", "DP": "Delayed"},
        iodine=_iodine("{phase} Iodine Map"),
        water=_vnc("{phase} VNC"),
        technique="switching",
        private=((0x7005, "TOSHIBA_MEC_CT3", 0x1D, "UL", 1),),
    ),
}  # fmt: skip


def clock(seconds: float) -> str:
    """HHMMSS."""
    whole = int(seconds)
    return f"{whole // 3600:02d}{whole // 60 % 60:02d}{whole % 60:02d}"


def study_dataset(settings: PhantomSettings, study_uid: str) -> Dataset:
    """Patient and study: what every object of the study shares."""
    ds = Dataset()
    ds.SpecificCharacterSet = "ISO_IR 192"
    ds.StudyDate = STUDY_DATE
    ds.StudyTime = clock(_FIRST_SCAN_S - 60)
    ds.AccessionNumber = f"SYN{settings.seed:06d}"
    ds.ReferringPhysicianName = ""
    ds.StudyDescription = "Synthetic liver phantom"
    ds.PatientName = settings.effective_patient_name
    ds.PatientID = settings.effective_patient_id
    ds.PatientBirthDate = ""
    ds.PatientSex = "O"
    ds.PatientComments = "Synthetic data made by gsigpu; not a patient"
    ds.StudyInstanceUID = study_uid
    ds.StudyID = "1"
    vendor = VENDORS[settings.vendor]
    ds.Manufacturer = vendor.manufacturer
    ds.ManufacturerModelName = vendor.model
    ds.DeviceSerialNumber = "PHANTOM"
    ds.SoftwareVersions = vendor.software
    ds.InstitutionName = "gsigpu phantom"
    ds.StationName = "PHANTOM"
    return ds


def series_dataset(
    settings: PhantomSettings,
    study_uid: str,
    geometry: VolumeGeometry,
    *,
    number: int,
    description: str,
    phase: str,
) -> Dataset:
    """Study, series, frame of reference and equipment of one CT series."""
    ds = study_dataset(settings, study_uid)
    acquired = clock(_FIRST_SCAN_S + PHASE_DELAYS_S[phase])
    ds.SeriesDate = ds.AcquisitionDate = ds.ContentDate = STUDY_DATE
    ds.SeriesTime = ds.AcquisitionTime = ds.ContentTime = acquired
    ds.Modality = "CT"
    ds.SeriesDescription = description
    ds.SeriesInstanceUID = phantom_uid(study_uid, "series", number)
    ds.SeriesNumber = number
    ds.BodyPartExamined = "ABDOMEN"
    ds.ProtocolName = "Liver spectral"
    ds.PatientPosition = "HFS"
    ds.FrameOfReferenceUID = geometry.frame_of_reference_uid
    ds.PositionReferenceIndicator = "XY"
    return ds


def add_classic_image(
    ds: Dataset, settings: PhantomSettings, geometry: VolumeGeometry, phase: str
) -> None:
    """The CT Image module and its neighbours, but what differs from slice to slice."""
    vendor = VENDORS[settings.vendor]
    ds.SOPClassUID = CTImageStorage
    ds.SOPInstanceUID = ""
    ds.ImageType = list(vendor.image_type)
    ds.AcquisitionNumber = 1 + settings.phases.index(phase)
    ds.InstanceNumber = 1
    if phase != "NC":
        ds.ContrastBolusAgent = "IODINE (SYNTHETIC)"
    ds.ScanOptions = "HELICAL MODE"
    ds.SliceThickness = decimal_mm(geometry.spacing_mm[0])
    ds.KVP = vendor.kvp
    ds.DataCollectionDiameter = ds.ReconstructionDiameter = decimal_mm(
        geometry.spacing_mm[2] * geometry.shape[2]
    )
    ds.GantryDetectorTilt = "0"
    ds.ConvolutionKernel = vendor.kernel
    add_pixel_module(ds, geometry)
    ds.ImagePositionPatient = ["0", "0", "0"]
    ds.ImageOrientationPatient = ["1", "0", "0", "0", "1", "0"]
    ds.SliceLocation = "0"
    ds.PixelSpacing = [decimal_mm(mm) for mm in geometry.spacing_mm[1:]]
    add_rescale(ds, slope=1.0, intercept=INTERCEPT_HU, rescale_type="HU", window=(60.0, 360.0))
    if settings.with_padding:
        # Signed like the stored values: written as SS because Pixel Representation is 1.
        ds.PixelPaddingValue = PADDING
    for group, creator, element, vr, value in vendor.private:
        ds.private_block(group, creator, create=True).add_new(element, vr, value)


def decimal_mm(mm: float) -> str:
    """A length or coordinate as a decimal string, to a millionth of a millimetre."""
    return decimal(round(mm, 6))


def add_pixel_module(ds: Dataset, geometry: VolumeGeometry) -> None:
    """Image Pixel: int16, one sample."""
    ds.SamplesPerPixel = 1
    ds.PhotometricInterpretation = "MONOCHROME2"
    ds.Rows, ds.Columns = geometry.shape[1:]
    ds.BitsAllocated = ds.BitsStored = 16
    ds.HighBit = 15
    ds.PixelRepresentation = 1


def add_rescale(
    ds: Dataset, *, slope: float, intercept: float, rescale_type: str, window: tuple[float, float]
) -> None:
    """Modality LUT and window."""
    ds.RescaleIntercept = decimal(intercept)
    ds.RescaleSlope = decimal(slope)
    ds.RescaleType = rescale_type
    ds.WindowCenter, ds.WindowWidth = decimal(window[0]), decimal(window[1])


def item(**values: object) -> Dataset:
    """A sequence item."""
    ds = Dataset()
    for keyword, value in values.items():
        setattr(ds, keyword, value)
    return ds


def code(value: str, scheme: str, meaning: str) -> Dataset:
    """A coded concept."""
    return item(CodeValue=value, CodingSchemeDesignator=scheme, CodeMeaning=meaning)
