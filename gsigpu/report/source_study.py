"""The study whose tables and figures the paper-compatible track repeats, and where it does not agree with itself."""

from __future__ import annotations

DOI = "10.1177/09287329251360091"
# What the study is, in place of its title: that was not to be found (the publisher's pages that are kept begin with the abstract,
# no paper that cites it was found in November 2026), and none is made up. Who has it writes it here: every page takes it from here.
# The numbers are those of the abstract, the journal is that of the ISSN in the DOI.
TITLE_OR_SUBJECT = (
    "Iodine concentration and spectral curves of 425 liver metastases below 3 cm of 140 patients with colorectal, gastric, "
    "lung, pancreatic or breast cancer, gemstone spectral CT"
)
CITATION = f"{TITLE_OR_SUBJECT}. Technol Health Care. doi:{DOI}"
SHORT = f"the source study (doi:{DOI})"
CONTRADICTIONS = (
    "λHU is printed as (HU60 − HU100) / 60; the interval is 40 keV, and its Figure 2 draws the slope through both points, which divides by 40. Values differ by the constant factor 1.5; tests and areas do not change.",
    "Iodine tables print values like 37.41 “mg/mL”. 37.41 × 100 µg/cm³ = 3.74 mg/mL is possible; 37.41 mg/mL is not (about 970 HU at 70 keV).",
    "The tube voltages are printed as 140/40 kVp; the scanner switches between 80 and 140.",
    "425 lesions in one place, 109 + 73 + 58 + 31 + 26 = 297 in another; 87/53 and 76/64 men/women; 31 lesions of 35 lung patients.",
    "P values are printed as .000 (“P < 0.000”).",
    "Lesions are tested as if independent, though one patient has several.",
)
