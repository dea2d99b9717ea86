"""Where a study of a command line lies, and what it is called: what paths of masks may say of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

_STUDY, _NAME = "{study}", "{name}"


@dataclass(frozen=True, slots=True)
class StudyPlace:
    """The words that a path may hold for what differs from study to study.

    study : the path of its folder as it was given; of an archive without the suffix
    name : that of the folder or archive, as its folder among the results is called

    >>> place = StudyPlace.of(Path("in/P1.zip"))
    >>> print(place.filled(Path("{study}_lesions.nii")), place.filled(Path("masks/{name}.nii")))
    in/P1_lesions.nii masks/P1.nii
    """

    study: Path
    name: str

    @classmethod
    def of(cls, study: Path) -> StudyPlace:
        """The place of a study: a folder, a DICOMDIR or an archive."""
        from gsigpu.archives.archive_rules import archive_stem
        from gsigpu.dicom.reading.directory_records import is_dicomdir, study_name

        if is_dicomdir(study):
            folder = study.parent
        else:
            stem = archive_stem(study)
            folder = study if stem == study.name else study.with_name(stem)
        return cls(folder, study_name(study.resolve()))

    @staticmethod
    def is_named_in(path: Path) -> bool:
        """Whether a path holds such a word."""
        return any(word in str(path) for word in (_STUDY, _NAME))

    def filled(self, path: Path) -> Path:
        """The path of this study."""
        text = str(path).replace(_STUDY, str(self.study)).replace(_NAME, self.name)
        return Path(text)
