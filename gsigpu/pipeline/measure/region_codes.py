"""What a region is, in the codes of DICOM: a core is the centre of a lesion, and no lesion; a spleen is a spleen.

A region that a user named has the SNOMED CT code of the organ that its whole name says (Spleen, left kidney, TotalSegmentator's
portal_vein_and_splenic_vein), and else a code of gsigpu's own scheme whose meaning is the name, as a Spatial and Relational
Concept: nobody but the user knows what it is.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

from gsigpu.dicom.writing.long_string import long_string
from gsigpu.maps.definitions import Code
from gsigpu.maps.registry import OWN_SCHEME

_ABNORMAL = Code("49755003", "SCT", "Morphologically Abnormal Structure")
_ANATOMICAL = Code("91723000", "SCT", "Anatomical Structure")
_LESION = Code("52988006", "SCT", "Lesion")
_LIVER = Code("10200004", "SCT", "Liver")
_AORTA = Code("15825003", "SCT", "Aorta")
_TISSUE = Code("85756007", "SCT", "Tissue")
_SPATIAL = Code("309825002", "SCT", "Spatial and Relational Concept")
_SIDES = {
    "left": Code("7771000", "SCT", "Left"),
    "right": Code("24028007", "SCT", "Right"),
}


@dataclass(frozen=True, slots=True)
class Coding:
    """What a region is.

    anatomy : where it lies; None where nobody knows
    """

    category: Code
    kind: Code
    anatomy: Code | None = _LIVER
    modifiers: tuple[Code, ...] = ()


CODING = {
    "lesion": Coding(_ABNORMAL, _LESION),
    "core": Coding(_SPATIAL, Code("26216008", "SCT", "Central"), modifiers=(_LESION,)),
    "rim": Coding(_SPATIAL, Code("57183005", "SCT", "Edge"), modifiers=(_LESION,)),
    "perilesional": Coding(_TISSUE, Code("PERILESIONAL", OWN_SCHEME, "Tissue around a lesion")),
    "parenchyma": Coding(_TISSUE, Code("91772007", "SCT", "Parenchyma")),
    "aorta": Coding(_ANATOMICAL, _AORTA, anatomy=_AORTA),
}
# SNOMED CT code, meaning in DICOM, names. Oracle: pydicom's dictionary of PS3.16, in the tests.
_ORGANS = (
    ("78961009", "Spleen", ("spleen", "milz", "rate", "bazo", "milza", "脾")),
    ("10200004", "Liver", ("liver", "whole liver", "leber", "foie", "hígado", "fegato", "肝", "肝脏", "肝臓")),
    ("15776009", "Pancreas", ("pancreas", "pankreas", "páncreas")),
    ("64033007", "Kidney", ("kidney", "kidneys", "niere", "rein")),
    ("23451007", "Adrenal gland", ("adrenal gland", "adrenal", "nebenniere")),
    ("28231008", "Gallbladder", ("gallbladder", "gall bladder", "gallenblase")),
    ("69695003", "Stomach", ("stomach", "magen")),
    ("38848004", "Duodenum", ("duodenum",)),
    ("30315005", "Small intestine", ("small bowel", "small intestine")),
    ("71854001", "Colon", ("colon",)),
    ("32849002", "Esophagus", ("esophagus", "oesophagus")),
    ("39607008", "Lung", ("lung", "lunge")),
    ("80891009", "Heart", ("heart", "herz")),
    ("89837001", "Bladder", ("urinary bladder", "bladder")),
    ("15825003", "Aorta", ("aorta", "whole aorta")),
    ("7832008", "Abdominal aorta", ("abdominal aorta",)),
    ("76015000", "Hepatic artery", ("hepatic artery",)),
    ("32764006", "Portal vein", ("portal vein", "portal vein and splenic vein", "pfortader")),
    ("35819009", "Splenic vein", ("splenic vein",)),
    ("8993003", "Hepatic vein", ("hepatic vein", "hepatic veins")),
    ("64131007", "Inferior vena cava", ("inferior vena cava", "ivc")),
    ("28273000", "Bile duct", ("bile duct", "bile ducts")),
    ("127954009", "Skeletal muscle", ("skeletal muscle", "muscle", "paraspinal muscle", "muskel")),
    ("51282000", "Vertebra", ("vertebra", "vertebrae")),
    ("59441001", "Lymph Node", ("lymph node", "lymph nodes")),
    ("15497006", "Ovary", ("ovary",)),
    ("35039007", "Uterus", ("uterus",)),
    ("41216001", "Prostate", ("prostate",)),
    ("2748008", "Spinal cord", ("spinal cord",)),
)  # fmt: skip
_ORGAN_CODES = {
    name: Code(value, "SCT", meaning) for value, meaning, names in _ORGANS for name in names
}
_DIGEST_LENGTH = 14  # with a letter before it within the 16 of a Code Value (SH)


def coding_of(region: str) -> Coding:
    """What a region of the study or of a lesion is, by its name in the table.

    >>> coding_of("Left_kidney").kind.meaning, [code.meaning for code in coding_of("Left_kidney").modifiers]
    ('Kidney', ['Left'])
    >>> coding_of("scar").kind
    Code(value='R715A6ABCDB9F8A', scheme='99GSIGPU', meaning='scar')
    """
    return CODING.get(region) or _organ(region) or _named(region)


def _organ(name: str) -> Coding | None:
    """An organ by its whole name, with its side before or after it."""
    words = re.sub(r"[\s_\-.,;:/()]+", " ", name).lower().split()
    sides = [_SIDES[word] for word in words if word in _SIDES]
    organ = _ORGAN_CODES.get(" ".join(word for word in words if word not in _SIDES))
    if organ is None or len(sides) > 1:
        return None
    return Coding(_ANATOMICAL, organ, anatomy=organ, modifiers=tuple(sides))


def _named(name: str) -> Coding:
    """A region that only its user knows; equal names have equal codes, and others others."""
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:_DIGEST_LENGTH]
    code = Code(f"R{digest.upper()}", OWN_SCHEME, long_string(name))
    return Coding(_SPATIAL, code, anatomy=None)
