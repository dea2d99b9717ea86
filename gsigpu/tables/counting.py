"""What is counted. Every number of patients and lesions in the flow and the tables comes from here.

row        one value of the measurement table
patient    one `patient_id`
lesion     one `lesion_id` of one patient: ids are unique within a patient, not beyond
case       one line of the manifest, `case_id`: a patient in one phase, read by one reader. A patient
with two phases and two readers is four cases and one patient
region     core, rim and the whole lesion belong to a lesion. Normal liver and aorta belong to the study:
their rows have no `lesion_id`, and are no lesion whatever a table writes there
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import pandas as pd

LESION = ("patient_id", "lesion_id")
STUDY_REGIONS = ("parenchyma", "aorta")
# Regions that are compared inside a lesion, whatever regions the groups are compared in.
WITHIN_REGIONS = ("core", "rim", "parenchyma")


class Count(NamedTuple):
    """Patients, and lesions of theirs."""

    patients: int
    lesions: int


def lesion_rows(cells: pd.DataFrame) -> pd.DataFrame:
    """The rows that belong to a lesion.

    cells : `lesion_id`, and `region` where there is one

    >>> import pandas as pd
    >>> rows = pd.DataFrame({"lesion_id": ["1", "", "1"], "region": ["core", "parenchyma", "parenchyma"]})
    >>> lesion_rows(rows)["region"].tolist()
    ['core']
    """
    of_lesion = cells["lesion_id"] != ""
    if "region" in cells.columns:
        of_lesion &= ~cells["region"].isin(STUDY_REGIONS)
    return cells[of_lesion]


def lesions(cells: pd.DataFrame) -> pd.DataFrame:
    """One row per lesion, the first of each."""
    return lesion_rows(cells).drop_duplicates(list(LESION))


def count(cells: pd.DataFrame) -> Count:
    """Patients and lesions of these rows.

    >>> import pandas as pd
    >>> count(pd.DataFrame({"patient_id": ["a", "a", "b"], "lesion_id": ["1", "", ""]}))
    Count(patients=2, lesions=1)
    """
    patients = cells.loc[cells["patient_id"] != "", "patient_id"].nunique()
    return Count(patients=int(patients), lesions=len(lesions(cells)))
