"""Measurement tables of a made-up cohort, with known differences between groups."""

import numpy as np
import pandas as pd

from gsigpu.tables.measurement_table import COLUMNS

GROUPS = ("colorectal", "gastric", "pancreatic", "lung", "breast")
PATIENTS = (12, 8, 10, 9, 6)
# Iodine of the lesion core in the arterial phase, mg/mL.
CORE_IODINE = {"colorectal": 0.8, "gastric": 1.4, "pancreatic": 0.6, "lung": 1.9, "breast": 2.4}
SLOPE_PER_MG = 0.424
MU = {kev: 82.4 * (40.0 / kev) ** 2.05 for kev in range(40, 150, 10)}
_UNITS = {"iodine": "mg/mL", "lambda_hu": "HU/keV"}


def measurement_table(
    *,
    groups=GROUPS,
    patients=PATIENTS,
    phases=("AP", "PVP"),
    readers=("",),
    curves=True,
    profiles=True,
    seed=1,
    effect=1.0,
):
    """The contract's columns; iodine is the cause, λHU, CT value and the curve follow from it.

    Values of a patient's lesions share a patient effect. `effect` 0 makes all groups alike.
    """
    rng = np.random.default_rng(seed)
    lesions = []
    middle = float(np.mean([CORE_IODINE.get(group, 1.0) for group in groups]))
    for group, n in zip(groups, patients, strict=True):
        for i in range(n):
            patient_effect = rng.normal(0, 0.35)
            for k in range(1 + int(rng.poisson(1.6))):
                mean = middle + effect * (CORE_IODINE.get(group, 1.0) - middle)
                lesions.append(
                    (
                        f"{group[:2]}{i:03d}",
                        str(k + 1),
                        group,
                        mean + patient_effect,
                        rng.uniform(8, 30),
                    )
                )
    rows = []

    def add(lesion, phase, reader, region, parameter, value, unit, definition, **more):
        patient, name, group, _, _ = lesion
        rows.append(
            {
                "case_id": patient, "patient_id": patient, "group": group, "reader": reader, "phase": phase,
                "lesion_id": name, "region": region, "parameter": parameter, "statistic": "mean", "value": value,
                "unit": unit, "definition": definition, "n_voxels": 120, "n_valid": 120, "flags": "",
                "distance_mm": float("nan"),
            }
            | more
        )  # fmt: skip

    for lesion in lesions:
        for phase in phases:
            gain = 1.0 if phase == "AP" else 1.4
            truth = {
                region: max(0.05, gain * factor * lesion[3] + rng.normal(0, 0.25))
                for region, factor in (("core", 1.0), ("rim", 1.5))
            }
            truth["lesion"] = 0.6 * truth["core"] + 0.4 * truth["rim"]
            base = rng.normal(52, 4)
            for reader in readers:
                for region, true in truth.items():
                    iodine = true + (rng.normal(0, 0.08) if reader else 0.0)
                    curve = {kev: base + mu * iodine for kev, mu in MU.items()}
                    put = (lesion, phase, reader, region)
                    add(
                        *put,
                        "lambda_hu",
                        SLOPE_PER_MG * iodine,
                        "HU/keV",
                        "(HU[60 keV] - HU[100 keV]) / 60 keV",
                    )
                    add(*put, "iodine", iodine, "mg/mL", "c of the water-iodine fit")
                    add(*put, "ct_value", curve[70], "HU", "VMI at 70 keV")
                    if curves:
                        for kev, hu in curve.items():
                            add(*put, f"mono_{kev}", hu, "HU", f"VMI at {kev} keV as stored")
                add(
                    lesion,
                    phase,
                    reader,
                    "lesion",
                    "longest_axial_diameter",
                    lesion[4],
                    "mm",
                    "longest line",
                    statistic="value",
                )
                if profiles:
                    for distance in range(-6, 8):
                        share = 0.4 + 0.6 / (1 + np.exp(-(distance + 3)))
                        for parameter, factor in (("lambda_hu", SLOPE_PER_MG), ("iodine", 1.0)):
                            value = factor * (truth["rim"] * share + rng.normal(0, 0.05))
                            add(
                                lesion,
                                phase,
                                reader,
                                "profile",
                                parameter,
                                value,
                                _UNITS[parameter],
                                "of a shell",
                                distance_mm=distance + 0.5,
                            )
    return pd.DataFrame(rows, columns=list(COLUMNS))
