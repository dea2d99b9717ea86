"""Tables of what readers do beside agreeing: repeat themselves, decide at a cut-off, draw masks of their own."""

from __future__ import annotations

from gsigpu.report.cohort_results import Results
from gsigpu.report.paper_tables import Row, opposite_note, rows_of
from gsigpu.report.row_tables import (
    LESIONS_OF_BOTH,
    PAIR,
    PARAMETER,
    PATIENTS_AND_LESIONS,
    PATIENTS_OF_BOTH,
    WHERE,
    Column,
    counts,
    interval_of,
    measured,
    p_of,
    row_table,
    share,
    unit_of,
)
from gsigpu.report.table_cells import INTERVAL_NOTE, Cell, Table, parameter_name, text


def repeatability_table(results: Results, units: dict[str, str]) -> Table | None:
    """SD within a reader, and the distance that two readings rarely exceed; patients as units."""
    return row_table(
        rows_of(results.frames.repeatability, track="recommended"),
        [
            Column("reader", lambda row: text(str(row["reader"]) or "(no name)")),
            PARAMETER,
            WHERE,
            Column("unit", unit_of(units)),
            Column("SD within", measured("within_sd")),
            Column(results.interval, interval_of("within_sd_low", "within_sd_high", None)),
            Column("repeatability", measured("repeatability")),
            Column(results.interval, interval_of("repeatability_low", "repeatability_high", None)),
            Column("ICC(1)", share("icc", 3)),
            Column(results.interval, interval_of("icc_low", "icc_high", 3)),
            Column("readings", counts("n_readings", parts=())),
            PATIENTS_AND_LESIONS,
        ],
        name="repeatability",
        caption="Readings repeated by the same reader",
        notes=[
            "Repeatability: 95% of two readings of one lesion lie no farther apart. Tests take a reader’s first reading."
        ],
        answer="within_sd",
    )


def kappa_table(results: Results) -> Table | None:
    """Two readers' decisions at the cut-off that the mean over readers gave."""

    def both(row: Row) -> Cell:
        return text(f"{row['reader_a']}, {row['reader_b']}")

    return row_table(
        rows_of(results.frames.kappa, track="recommended"),
        [
            Column("readers", both),
            PAIR,
            PARAMETER,
            WHERE,
            Column("cut-off", measured("cutoff")),
            Column("κ", share("kappa")),
            Column(results.interval, interval_of("ci_low", "ci_high")),
            Column("agree", share("observed")),
            Column("by chance", share("expected")),
            Column(
                "both, first only, second only, none",
                counts(
                    "both_positive", "only_a", "only_b", "both_negative",
                    parts=("both", "first only", "second only", "none"),
                ),
            ),
            PATIENTS_AND_LESIONS,
        ],
        name="kappa",
        caption="Two readers at the same cut-off",
        notes=[
            "κ: agreement beyond chance, 1 is perfect, 0 is chance; intervals with patients as units. Counts of lesions that the reader calls the pair’s first group."
        ],
        answer="kappa",
    )  # fmt: skip


def reader_comparisons_table(results: Results) -> Table | None:
    """Difference of two parameters' areas, readers and lesions random."""

    def compared(row: Row) -> Cell:
        names = (parameter_name(str(row[name])) for name in ("parameter_a", "parameter_b"))
        return text(" − ".join(names))

    return row_table(
        results.frames.reader_comparisons,
        [
            PAIR,
            Column("parameters", compared),
            WHERE,
            Column("AUC, first", share("auc_a")),
            Column("AUC, second", share("auc_b")),
            Column("difference", share("difference", 3)),
            Column(results.interval, interval_of("ci_low", "ci_high", 3)),
            Column("p", p_of("p")),
            Column("p, Holm over all", p_of("p_holm_all")),
            Column("readers", counts("n_readers", parts=())),
            PATIENTS_OF_BOTH,
            LESIONS_OF_BOTH,
            Column("left out", counts("n_incomplete", parts=())),
        ],
        name="reader_comparisons",
        caption="Parameters compared, readers and lesions random",
        notes=[
            "Areas are means over readers (Obuchowski and Rockette, Hillis’ degrees of freedom). Left out: lesions that a reader did not measure.",
            *opposite_note(results.frames.reader_comparisons),
            INTERVAL_NOTE,
        ],
        answer="p",
    )
