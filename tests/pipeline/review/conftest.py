"""One study in two phases with its masks, and the page made of it."""

import pytest

from gsigpu.phantom import PhantomSettings, write_phantom
from gsigpu.pipeline.measure.given_masks import MaskFiles
from gsigpu.pipeline.review.review_study import review_study
from tests.support.browser import open_page

SETTINGS = PhantomSettings(
    shape=(12, 96, 96),
    spacing_mm=(6.0, 4.0, 4.0),
    n_lesions=2,
    diameter_mm=(26.0, 30.0),
    energies_kev=(40.0, 60.0, 70.0, 100.0),
    extras=(),
    patient_id="IDENT-4711",
    patient_name="Doe^Jane",
)
# A case that would be markup and script, were it not shown as text.
CASE = "case <b>7</b> </script><script>window.broken = 1</script>"

DRAWN = "Number(document.getElementById('views').dataset.drawn || 0) >= 3"


@pytest.fixture(scope="session")
def truth(tmp_path_factory):
    return write_phantom(tmp_path_factory.mktemp("review") / "phantom", SETTINGS)


@pytest.fixture(scope="session")
def masks(truth):
    return MaskFiles(
        (truth.lesion_mask,),
        liver=truth.liver_mask,
        vessels=truth.vessel_mask,
        aorta=truth.aorta_mask,
    )


@pytest.fixture(scope="session")
def reviewed(truth, masks, tmp_path_factory):
    return review_study(
        truth.dicom_folder, tmp_path_factory.mktemp("page") / "page", masks=masks, case_id=CASE
    )


@pytest.fixture(scope="session")
def reviewed_with_identity(truth, masks, tmp_path_factory):
    return review_study(
        truth.dicom_folder,
        tmp_path_factory.mktemp("page") / "page",
        masks=masks,
        case_id="case-7",
        with_identity=True,
    )


@pytest.fixture(scope="module")
def page(browser, reviewed_with_identity):
    with open_page(browser, reviewed_with_identity.page.as_uri()) as opened:
        opened.wait_for_function(DRAWN)
        yield opened
