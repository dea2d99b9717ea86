"""Planes in memory, without files."""

from gsigpu.dicom.model import Evidence, HeaderScan, PixelFormat, Plane

FORMAT = PixelFormat("1.2.840.10008.1.2.1", 6, 8, 16, 16, 15, True)


def evidence(description="Mono 70 keV", series_uid="1.2.70", **values):
    return Evidence(
        **{
            "sop_class_uid": "1.2.840.10008.5.1.4.1.1.2",
            "modality": "CT",
            "study_uid": "1.2",
            "series_uid": series_uid,
            "frame_of_reference_uid": "1.9",
            "patient_id": "P1",
            "series_description": description,
            "series_number": 7,
            "acquisition_number": 1,
            "acquisition_datetime": "20240102101112",
        }
        | values
    )


def plane(z, header=None, *, name=None, position=None, image=FORMAT, **values):
    header = header or evidence()
    return Plane(
        **{
            "file_name": name or f"{header.series_uid}-{z}",
            "evidence": header,
            "format": image,
            "sop_instance_uid": f"{header.series_uid}.{z}",
            "position_mm": position if position is not None else (-10.0, -20.0, float(z)),
            "orientation": (1.0, 0.0, 0.0, 0.0, 1.0, 0.0),
            "pixel_spacing_mm": (0.8, 0.7),
            "slice_thickness_mm": 2.5,
            "slope": 1.0,
            "intercept": 0.0,
            "padding": None,
            "pixel_offset": 0,
            "pixel_length": 96,
        }
        | values
    )


def series(description="Mono 70 keV", series_uid=None, zs=(0.0, 2.5, 5.0), **values):
    header = evidence(description, series_uid or f"1.2.{abs(hash(description)) % 10**6}", **values)
    return [plane(z, header) for z in zs]


def scan(*groups):
    planes = tuple(plane for group in groups for plane in group)
    return HeaderScan(planes, (), len(planes))
