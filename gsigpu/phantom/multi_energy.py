"""The attributes for multi-energy CT that DICOM has had since Supplement 188."""

from __future__ import annotations

from collections.abc import Sequence

from pydicom.dataset import Dataset

from gsigpu.phantom.phantom_settings import PhantomSettings
from gsigpu.phantom.vendor_headers import VENDORS, code, item

_PATHS = (1, 2)
HU = code("[hnsf'U]", "UCUM", "Hounsfield unit")
MG_PER_ML = code("mg/mL", "UCUM", "mg/mL")
_UNITS_100_UG = code("100.ug/cm3", "UCUM", "100 ug/cm3")
UNITS = {"HU": HU, "MGML": MG_PER_ML, "mg/cc": MG_PER_ML, "100ug/cc": _UNITS_100_UG}


def add_multi_energy_image(
    ds: Dataset, settings: PhantomSettings, image_type: str, energy_kev: float | None
) -> None:
    """The Multi-energy CT Image module of a classic image, and value 4 of its ImageType."""
    ds.ImageType = [*ds.ImageType[:2], "AXIAL", image_type]
    ds.MultienergyCTAcquisition = "YES"
    ds.KVP = None  # it stands in the acquisition sequence, and may not stand in both
    paths = acquisition(ds, settings)
    paths.update(_exposure(ds, paths.MultienergyCTXRaySourceSequence))
    ds.MultienergyCTAcquisitionSequence = [paths]
    ds.RealWorldValueMappingSequence = [
        real_world_value(float(ds.RescaleSlope), float(ds.RescaleIntercept), UNITS[ds.RescaleType])
    ]
    if energy_kev is not None:
        ds.MultienergyCTCharacteristicsSequence = [characteristics(energy_kev)]


def characteristics(energy_kev: float) -> Dataset:
    """The item that tells a monoenergetic image's energy."""
    return item(MonoenergeticEnergyEquivalent=energy_kev)


def real_world_value(slope: float, intercept: float, unit: Dataset) -> Dataset:
    """Stored values as numbers with a unit."""
    return item(
        LUTExplanation="Linear",
        LUTLabel="LINEAR",
        RealWorldValueFirstValueMapped=-32768,
        RealWorldValueLastValueMapped=32767,
        RealWorldValueIntercept=intercept,
        RealWorldValueSlope=slope,
        MeasurementUnitsCodeSequence=[unit],
    )


def acquisition(ds: Dataset, settings: PhantomSettings) -> Dataset:
    """Sources, detectors, and the two paths between them."""
    technique = VENDORS[settings.vendor].technique
    moment = ds.AcquisitionDate + ds.AcquisitionTime
    n_sources = 1 if technique == "layers" else 2
    n_detectors = 1 if technique == "switching" else 2
    sources = []
    for index in range(1, n_sources + 1):
        source = item(
            XRaySourceIndex=index,
            XRaySourceID=str(index if technique == "sources" else 1),
            MultienergySourceTechnique="SWITCHING_SOURCE"
            if technique == "switching"
            else "CONSTANT_SOURCE",
            SourceStartDateTime=moment,
            SourceEndDateTime=moment,
        )
        if technique == "switching":
            source.SwitchingPhaseNumber = index
            source.SwitchingPhaseNominalDuration = 250.0
            source.SwitchingPhaseTransitionDuration = 10.0
        sources.append(source)
    detectors = [
        item(
            XRayDetectorIndex=index,
            XRayDetectorID=str(index),
            MultienergyDetectorType="MULTILAYER" if technique == "layers" else "INTEGRATING",
            XRayDetectorLabel="High" if index == 2 else "Low",
        )
        for index in range(1, n_detectors + 1)
    ]
    paths = [
        item(
            MultienergyCTPathIndex=index,
            ReferencedXRaySourceIndex=min(index, n_sources),
            ReferencedXRayDetectorIndex=min(index, n_detectors),
        )
        for index in _PATHS
    ]
    return item(
        MultienergyAcquisitionDescription="Synthetic two-energy acquisition",
        MultienergyCTXRaySourceSequence=sources,
        MultienergyCTXRayDetectorSequence=detectors,
        MultienergyCTPathSequence=paths,
    )


def _exposure(ds: Dataset, sources: Sequence[Dataset]) -> Dataset:
    """How the sources were run; plausible numbers, since nothing was measured."""
    kvps = ("80", "140") if len(sources) == 2 else ("120",)
    details = [
        item(
            ReferencedPathIndex=path,
            RotationDirection="CW",
            RevolutionTime=0.5,
            SingleCollimationWidth=0.625,
            TotalCollimationWidth=40.0,
            TableHeight=150.0,
            GantryDetectorTilt=0.0,
            DataCollectionDiameter=float(ds.ReconstructionDiameter),
        )
        for path in _PATHS
    ]
    x_ray = [
        item(
            KVP=kvp,
            FocalSpots=[1.0],
            FilterType="FLAT",
            FilterMaterial=["ALUMINUM"],
            CalciumScoringMassFactorPatient=1.0,
        )
        for kvp in kvps
    ]
    exposure = [
        item(
            ReferencedXRaySourceIndex=source.XRaySourceIndex,
            ExposureTimeInms=500.0,
            XRayTubeCurrentInmA=300.0,
            ExposureInmAs=150.0,
            ExposureModulationType="NONE",
        )
        for source in sources
    ]
    geometry = [
        item(
            ReferencedPathIndex=path,
            DistanceSourceToDetector=1000.0,
            DistanceSourceToDataCollectionCenter=550.0,
        )
        for path in _PATHS
    ]
    return item(
        CTAcquisitionDetailsSequence=details,
        CTXRayDetailsSequence=x_ray,
        CTExposureSequence=exposure,
        CTGeometrySequence=geometry,
    )
