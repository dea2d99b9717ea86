"""What all objects derived from a study share: identity, patient, study and equipment, references.

Copied from the source is what the Patient, General Study and Frame of Reference modules need, and
how and where the patient lay; nothing else: no private elements, no institution, no operators or
physicians, no device numbers. Dates and times are the source's, so that the same input gives the
same bytes. Text is written as UTF-8 whatever the source uses.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from pydicom import dcmread
from pydicom.config import RAISE
from pydicom.datadict import dictionary_VR
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.multival import MultiValue
from pydicom.uid import UID, ExplicitVRLittleEndian
from pydicom.valuerep import validate_value

from gsigpu.dicom.model import Evidence, Plane, Series, SpectralStack
from gsigpu.dicom.quiet import quiet
from gsigpu.dicom.reading.pixels import unreadable
from gsigpu.dicom.writing.long_string import long_string
from gsigpu.dicom.writing.uids import derived_uid
from gsigpu.file_state import open_unchanged
from gsigpu.maps.definitions import Code, MapDefinition
from gsigpu.version import __version__

IMPLEMENTATION_CLASS_UID = "2.25.188117363212935402842371034217018443073"
_SOURCE_IMAGE = Code("121322", "DCM", "Source image for image processing operation")
_ACQUIRED_WITH = Code("109101", "DCM", "Acquisition Equipment")
_PROCESSED_WITH = Code("109102", "DCM", "Processing Equipment")

# Types 1 and 2: written even where the source has none. UIDs follow another rule.
_REQUIRED = (
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "PatientSex",
    "StudyDate",
    "StudyTime",
    "StudyID",
    "AccessionNumber",
    "PatientPosition",
    "PositionReferenceIndicator",
)
# Of what objects share, these are for images.
OF_IMAGES = (
    "SOPClassUID",
    "Modality",
    "Laterality",
    "PatientPosition",
    "PositionReferenceIndicator",
    "BurnedInAnnotation",
    "LossyImageCompression",
    "LossyImageCompressionRatio",
    "LossyImageCompressionMethod",
)
_OPTIONAL = ("StudyDescription", "BurnedInAnnotation")
_EVENTS = ("Content", "Acquisition", "Series", "Study")
_LOSSY = ("LossyImageCompressionRatio", "LossyImageCompressionMethod")
_LOOKED_AT = (
    "SpecificCharacterSet",
    "Manufacturer",
    "ManufacturerModelName",
    "PatientIdentityRemoved",
    "DeidentificationMethod",
    "LossyImageCompression",
    *_LOSSY,
    *(f"{event}{what}" for event in _EVENTS for what in ("Date", "Time")),
)
_ALLOWED = {
    "PatientSex": ("M", "F", "O"),
    "BurnedInAnnotation": ("YES", "NO"),
}
# Where these are malformed they are worth nothing. Names and numbers are kept as they are, because
# an archive matches them with what it holds.
_CHECKED_VRS = ("DA", "TM", "CS")


class DerivedSeries:
    """One map as a new series of the source's study: what it is made of.

    definition : the map
    stack : just the series that the map is computed from
    identity : a UID of what the series is meant to be: source images, energies, phase, definition, kind of
        object and version of gsigpu. What the series and its objects are called follows from their content.
    """

    def __init__(
        self,
        definition: MapDefinition,
        stack: SpectralStack,
        source: FileDataset,
        *,
        sop_class_uid: str,
        beside: Sequence[MapDefinition] = (),
    ) -> None:
        """See `derive`, which makes these.

        source : the header to take patient and study from
        """
        self.definition = definition
        self.stack = series_used(stack, (definition, *beside))
        self.sop_class_uid = sop_class_uid
        self._source = source
        self.identity = derived_uid(
            "series",
            __version__,
            sop_class_uid,
            stack.phase,
            *(f"{shown.name} {shown.formula} {shown.step!r}" for shown in (definition, *beside)),
            *(
                f"{series.energy_kev} {plane.sop_instance_uid} {plane.frame}"
                for series in self.stack.series
                for plane in series.planes
            ),
        )

    @property
    def title(self) -> str:
        """Series Description: the map, and the phase where it is known."""
        return long_string(f"{self.definition.title} {self.stack.phase}")

    @property
    def derivation(self) -> str:
        """Derivation Description: the definition in full, for people."""
        definition = self.definition
        energies = ", ".join(f"{kev:g}" for kev in self.stack.energies_kev)
        unit = f", in {definition.unit.display}" if definition.unit.display else ""
        return f"{definition.title}{unit}: {definition.formula}; from monoenergetic images at {energies} keV"[
            :1024
        ]

    def sources(self, z: int) -> tuple[Plane, ...]:
        """The source images of slice z, ascending in energy."""
        return tuple(series.planes[z] for series in self.stack.series)

    def dataset(self, sop_instance_uid: str, series_uid: str, number: str) -> FileDataset:
        """A new object of the series, with the modules that objects of all kinds share."""
        with quiet():
            ds = self._dataset(sop_instance_uid)
            ds.SeriesInstanceUID, ds.SeriesNumber = UID(series_uid), number
        return ds

    def _dataset(self, sop_instance_uid: str) -> FileDataset:
        evidence = self.stack.series[0].evidence
        ds = shared_dataset(self._source, evidence, self.sop_class_uid, sop_instance_uid)
        ds.FrameOfReferenceUID = UID(
            evidence.frame_of_reference_uid or derived_uid("frame", evidence.series_uid)
        )
        ds.Modality = "CT"
        ds.SeriesDescription = self.title
        ds.DerivationDescription = self.derivation
        return ds


def shared_dataset(
    source: Dataset, evidence: Evidence, sop_class_uid: str, sop_instance_uid: str
) -> FileDataset:
    """A new object of the source's study: patient, study, dates, equipment and history.

    source : header of a source image, as `source_header` read it
    """
    meta = FileMetaDataset()
    meta.FileMetaInformationVersion = b"\0\1"
    meta.MediaStorageSOPClassUID = UID(sop_class_uid)
    meta.MediaStorageSOPInstanceUID = UID(sop_instance_uid)
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.ImplementationClassUID = UID(IMPLEMENTATION_CLASS_UID)
    meta.ImplementationVersionName = f"GSIGPU_{__version__}"[:16]
    ds = FileDataset("", Dataset(), file_meta=meta, preamble=b"\0" * 128)
    ds.SpecificCharacterSet = "ISO_IR 192"
    ds.SOPClassUID = UID(sop_class_uid)
    ds.SOPInstanceUID = UID(sop_instance_uid)
    ds.StudyInstanceUID = UID(evidence.study_uid or derived_uid("study", evidence.series_uid))
    for keyword in _REQUIRED:
        setattr(ds, keyword, _copied(source, keyword))
    for keyword in _OPTIONAL:
        if value := _copied(source, keyword):
            setattr(ds, keyword, value)
    ds.ReferringPhysicianName = ds.Laterality = ""
    date, time = _content_date_and_time(source)
    ds.SeriesDate = ds.ContentDate = date
    ds.SeriesTime = ds.ContentTime = time
    ds.Manufacturer = "gsigpu"
    ds.ManufacturerModelName = "gsigpu"
    ds.SoftwareVersions = __version__
    ds.ContributingEquipmentSequence = _equipment(source)
    _carry_history(source, ds)
    return ds


def derive(
    definitions: Sequence[MapDefinition],
    stack: SpectralStack,
    *,
    sop_class_uid: str,
    beside: Sequence[MapDefinition] = (),
) -> list[DerivedSeries]:
    """One new series per map. Reads the header of one source file.

    beside : further planes shown in every object
    """
    source = source_header(stack.series)
    return [
        DerivedSeries(
            definition,
            stack,
            source,
            sop_class_uid=sop_class_uid,
            beside=beside,
        )
        for definition in definitions
    ]


def series_used(stack: SpectralStack, definitions: Sequence[MapDefinition]) -> SpectralStack:
    """The stack of just the energies that these maps are computed from."""
    used = {
        kev for definition in definitions for kev in definition.energies_for(stack.energies_kev)
    }
    series = [
        source_series
        for source_series, kev in zip(stack.series, stack.energies_kev, strict=True)
        if kev in used
    ]
    return replace(stack, series=tuple(series))


def code_item(code: Code) -> Dataset:
    """An item of a code sequence (PS3.3 table 8.8-1)."""
    item = Dataset()
    item.CodeValue = code.value
    item.CodingSchemeDesignator = code.scheme
    item.CodeMeaning = long_string(code.meaning)
    return item


def quantity_item(definition: MapDefinition) -> Dataset:
    """An item of Quantity Definition Sequence: what the numbers of a map are."""
    item = Dataset()
    item.ValueType = "CODE"
    item.ConceptNameCodeSequence = [code_item(Code("246205007", "SCT", "Quantity"))]
    item.ConceptCodeSequence = [code_item(definition.quantity)]
    return item


def unit_code(definition: MapDefinition) -> Code:
    """A map's unit, in UCUM."""
    return Code(definition.unit.ucum, "UCUM", definition.unit.display or "no units")


def source_image_items(
    planes: Sequence[Plane], uids: Sequence[str], frame_numbers: Sequence[str]
) -> list[Dataset]:
    """Items of Source Image Sequence, of undefined length.

    uids, frame_numbers : SOP Instance UID and frame from 1 of each plane; the frame is written
        where the plane's file has several
    """
    items = []
    for plane, uid, frame in zip(planes, uids, frame_numbers, strict=True):
        item = image_reference(plane, uid, frame)
        item.PurposeOfReferenceCodeSequence = [code_item(_SOURCE_IMAGE)]
        item.is_undefined_length_sequence_item = True
        items.append(item)
    return items


def image_reference(plane: Plane, uid: str, frame_number: str) -> Dataset:
    """Class and instance of an image, and the frame where its file has several."""
    item = Dataset()
    item.ReferencedSOPClassUID = UID(plane.evidence.sop_class_uid)
    item.ReferencedSOPInstanceUID = UID(uid)
    if plane.evidence.n_frames > 1:
        item.ReferencedFrameNumber = frame_number
    return item


def referenced_series(planes: Sequence[Plane]) -> Dataset:
    """An item of Referenced Series Sequence: every file of a series' planes, once."""
    item = Dataset()
    item.SeriesInstanceUID = planes[0].evidence.series_uid
    item.ReferencedInstanceSequence = []
    for uid, sop_class in {
        plane.sop_instance_uid: plane.evidence.sop_class_uid for plane in planes
    }.items():
        instance = Dataset()
        instance.ReferencedSOPClassUID, instance.ReferencedSOPInstanceUID = sop_class, uid
        item.ReferencedInstanceSequence.append(instance)
    return item


def source_header(series: Sequence[Series]) -> FileDataset:
    """What is looked at of the first series' first file; of the first one that is lossy, if any series is.

    Raises FileChanged if a file is not the one that was scanned, PixelDataError if it can no longer be read.
    """
    firsts = [source_series.planes[0] for source_series in series]
    return _header_of(next((plane for plane in firsts if plane.evidence.is_lossy), firsts[0]))


def _header_of(plane: Plane) -> FileDataset:
    try:
        with quiet(), open_unchanged(plane.path, plane.state) as file:
            return dcmread(
                file,
                stop_before_pixels=True,
                force=True,
                specific_tags=[*_REQUIRED, *_OPTIONAL, *_LOOKED_AT],
            )
    except OSError as error:
        raise unreadable(plane, error) from error


def _copied(source: Dataset, keyword: str) -> str:
    """The source's value as text; "" where it has none, or none that the standard allows."""
    value = source.get(keyword)
    parts = value if isinstance(value, MultiValue) else [value]
    text = "\\".join("" if part is None else str(part) for part in parts)
    if text not in _ALLOWED.get(keyword, (text,)):
        return ""
    vr = dictionary_VR(keyword)
    if vr in _CHECKED_VRS:
        try:
            validate_value(vr, text, RAISE)
        except ValueError:
            return ""
    return text


def _content_date_and_time(source: Dataset) -> tuple[str, str]:
    """When the source was made: date and time of the first of its events that has a date."""
    for event in _EVENTS:
        if date := _copied(source, f"{event}Date"):
            return date, _copied(source, f"{event}Time")
    return "", ""


def _equipment(source: Dataset) -> list[Dataset]:
    """The scanner, and this program: an object derived from the new object keeps both."""
    scanner = Dataset()
    scanner.PurposeOfReferenceCodeSequence = [code_item(_ACQUIRED_WITH)]
    scanner.Manufacturer = _copied(source, "Manufacturer") or "unknown"
    if model := _copied(source, "ManufacturerModelName"):
        scanner.ManufacturerModelName = model
    program = Dataset()
    program.PurposeOfReferenceCodeSequence = [code_item(_PROCESSED_WITH)]
    program.Manufacturer = program.ManufacturerModelName = "gsigpu"
    program.SoftwareVersions = __version__
    program.ContributionDescription = "Maps of spectral CT"
    return [scanner, program]


def _carry_history(source: Dataset, ds: Dataset) -> None:
    """Once lossy, always lossy (PS3.3 C.7.6.1.1.5); and de-identified stays de-identified."""
    if source.get("LossyImageCompression") == "01":
        ds.LossyImageCompression = "01"
        for keyword in _LOSSY:
            if source.get(keyword):
                setattr(ds, keyword, source.get(keyword))
    method = _copied(source, "DeidentificationMethod")
    if source.get("PatientIdentityRemoved") == "YES" and method:
        ds.PatientIdentityRemoved = "YES"
        ds.DeidentificationMethod = method
