"""UIDs, Series Number and content move together, over a matrix of runs of one study."""

import shutil
from collections import defaultdict
from io import BytesIO
from pathlib import Path

import pytest
from pydicom import dcmread

from gsigpu.phantom import PhantomSettings, write_phantom
from gsigpu.pipeline.map.map_study import map_study
from tests.support import host_cupy

SMALL = PhantomSettings(
    shape=(3, 64, 80),
    spacing_mm=(5.0, 5.0, 5.0),
    n_lesions=0,
    phases=("AP", "PVP"),
    energies_kev=(40.0, 60.0, 70.0, 100.0, 140.0),
    extras=(),
)
RUNS = {
    "both": {},
    "again": {},
    "one thread": {"n_workers": 1},
    "iodine alone": {"maps": ["iodine"]},
    "lambda-hu alone": {"maps": ["lambda-hu"]},
    "other order": {"maps": ["iodine", "lambda-hu"]},
    "with more": {"maps": ["vnc", "iodine", "zeff", "lambda-hu", "sigma-iodine", "residual"]},
    "another slope": {"slope": "60-100"},
    "fitted slope": {"slope": "fit:60-100"},
    "named slopes": {"maps": ["lambda-hu[60-100]", "lambda-hu[40-100]", "lambda-hu[40-140]"]},
    "fewer energies": {"energies_kev": [60.0, 100.0]},
    "other energies": {"energies_kev": [60.0, 70.0, 100.0]},
    "arterial": {"phase": "AP"},
    "pm": {"output_format": "pm"},
    "pm alone": {"output_format": "pm", "maps": ["iodine"]},
    "rgb": {"output_format": "rgb"},
    "rgb alone": {"output_format": "rgb", "maps": ["iodine"]},
    "gpu": {"backend": "gpu"},
    "gpu alone": {"backend": "gpu", "maps": ["iodine"]},
    "gpu pm": {"backend": "gpu", "output_format": "pm"},
}


@pytest.fixture(scope="module")
def study_folder(tmp_path_factory):
    return write_phantom(tmp_path_factory.mktemp("study") / "phantom", SMALL).dicom_folder


@pytest.fixture(scope="module")
def run_map(study_folder):
    """`map_study` whose GPU is the double of CuPy, with the CUDA source run through the host's compiler."""
    with pytest.MonkeyPatch.context() as patch:
        host_cupy.install(patch)
        yield lambda out, folder=study_folder, **options: map_study(
            folder, out, **{"phase": "PVP", "backend": "cpu", **options}
        )


def series_of(folders):
    """(run and map, its files as bytes) of each DICOM series of a run."""
    for name, path in folders.items():
        files = sorted(path.iterdir()) if path.is_dir() else [path]
        yield name, [file.read_bytes() for file in files], dcmread(files[0])


@pytest.fixture(scope="module")
def all_series(run_map, tmp_path_factory):
    """Every series of every run: [(run, map, files as bytes, first header)]."""
    out = tmp_path_factory.mktemp("runs")
    return [
        (run, name, files, ds)
        for run, options in RUNS.items()
        for name, files, ds in series_of(run_map(out / run, **options).folders)
    ]


def test_equal_names_mean_equal_bytes_and_equal_numbers(all_series):
    by_uid, by_number, by_content = defaultdict(set), defaultdict(set), defaultdict(set)
    for _, _, files, ds in all_series:
        content = tuple(files)
        by_uid[ds.SeriesInstanceUID].add((content, int(ds.SeriesNumber)))
        by_number[int(ds.SeriesNumber)].add(ds.SeriesInstanceUID)
        by_content[content].add(ds.SeriesInstanceUID)
    for groups in (by_uid, by_number, by_content):
        assert {len(group) for group in groups.values()} == {1}
    assert len(by_uid) > 20  # or the matrix holds too little to show anything


def test_no_file_shares_its_name_with_another(all_series):
    files = defaultdict(set)
    for _, _, contents, _ in all_series:
        for content in contents:
            ds = dcmread(BytesIO(content), stop_before_pixels=True)
            assert ds.SOPInstanceUID == ds.file_meta.MediaStorageSOPInstanceUID
            files[ds.SOPInstanceUID].add(content)
    assert {len(group) for group in files.values()} == {1}


def test_equal_pixels_of_one_map_have_equal_names(all_series):
    """Whatever was computed beside it, in which order, on which processor, by how many threads."""
    uids = defaultdict(set)
    for _, name, files, ds in all_series:
        pixels = tuple(pixels_of(dcmread(BytesIO(content))) for content in files)
        uids[ds.SOPClassUID, name, ds.DerivationDescription, ds.SeriesDescription, pixels].add(
            ds.SeriesInstanceUID
        )
    assert {len(group) for group in uids.values()} == {1}
    names = {(run, name): ds.SeriesInstanceUID for run, name, _, ds in all_series}
    for run in ("again", "one thread", "other order"):
        for name in ("lambda-hu", "iodine"):
            assert names[run, name] == names["both", name]


def pixels_of(ds):
    return ds.FloatPixelData if "FloatPixelData" in ds else ds.PixelData


@pytest.mark.parametrize("output_format", ["ct", "pm", "rgb"])
def test_one_voxel_of_the_source_changes_the_names_of_all(
    run_map, study_folder, tmp_path, output_format
):
    """Though every UID of the source is the same."""
    changed = Path(shutil.copytree(study_folder, tmp_path / "changed"))
    for path in changed.rglob("*.dcm"):
        ds = dcmread(path)
        if "60" in ds.get("SeriesDescription", "") and ds.InstanceNumber == 1:
            pixels = ds.pixel_array.copy()
            pixels[30, 40] += 200
            ds.PixelData = pixels.tobytes()
            ds.save_as(path)
    before, after = (
        {
            str(ds[keyword].value)
            for _, files, _ in series_of(
                run_map(tmp_path / f"out{i}", folder, output_format=output_format).folders
            )
            for ds in (dcmread(BytesIO(content)) for content in files)
            for keyword in ("SeriesInstanceUID", "SOPInstanceUID", "SeriesNumber")
        }
        for i, folder in enumerate((study_folder, changed))
    )
    assert before.isdisjoint(after)
