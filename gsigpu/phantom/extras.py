"""What else lies in a PACS export."""

from __future__ import annotations

from gsigpu.phantom.truth import PhantomTruth


def write_extras(truth: PhantomTruth, study_uid: str) -> None:
    """Todo."""
