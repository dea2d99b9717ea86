"""The picture of docs/howto/review.md, of a synthetic lesion: `python -m tests.support.example_picture`."""

import tempfile
from pathlib import Path

from PIL import Image

from gsigpu.phantom import PhantomSettings, write_phantom
from gsigpu.pipeline.measure.given_masks import MaskFiles
from gsigpu.pipeline.review.paper_pictures import FOLDER
from gsigpu.pipeline.review.review_study import review_study
from tests.support.places import ROOT

PICTURE = ROOT / "design" / "lesion.jpg"
# As wide as a page of documentation. Noise is what a picture's bytes go to: there is less of it than in a patient.
WIDTH_PIXELS = 960
MOST_BYTES = 150_000
_QUALITY = 76
SETTINGS = PhantomSettings(
    shape=(20, 224, 224),
    spacing_mm=(5.0, 1.7, 1.7),
    n_lesions=1,
    diameter_mm=(27.0, 27.0),
    extras=(),
    noise_hu=4.0,
)


def write(path: Path = PICTURE) -> None:
    """Writes the picture."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        truth = write_phantom(folder / "phantom", SETTINGS)
        review_study(
            truth.dicom_folder,
            folder / "review",
            masks=MaskFiles((truth.lesion_mask,), liver=truth.liver_mask),
            case_id="synthetic study",
            pictures=True,
        )
        with Image.open(folder / "review" / FOLDER / "lesion-01-maps.png") as full:
            height = round(full.height * WIDTH_PIXELS / full.width)
            small = full.convert("RGB").resize((WIDTH_PIXELS, height), Image.Resampling.LANCZOS)
    small.save(path, quality=_QUALITY, subsampling=0, optimize=True)


if __name__ == "__main__":
    write()
