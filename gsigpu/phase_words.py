"""A contrast phase as a person reads it: a phase that nothing names is said to have no name."""

from __future__ import annotations

WITHOUT_NAME = "without a name"
NO_NAME = f"phase {WITHOUT_NAME}"


def phase_name(phase: str | None) -> str:
    """A phase alone, as in a heading or a list.

    >>> phase_name("PVP"), phase_name("")
    ('PVP', 'phase without a name')
    """
    return phase or NO_NAME


def phase_words(phase: str | None) -> str:
    """A phase within a sentence.

    >>> phase_words("PVP"), phase_words("phase-1"), phase_words(None)
    ('phase PVP', 'phase-1', 'the phase without a name')
    """
    if not phase:
        return f"the {NO_NAME}"
    return phase if phase.startswith("phase") else f"phase {phase}"
