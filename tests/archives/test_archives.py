"""A study in an archive is the study in a folder: same planes, same values; what is damaged is told and used for nothing."""

import subprocess
import sys
import tarfile
import warnings
import zipfile

import numpy as np
import pytest

from gsigpu.archives import archive_rules, open_archives
from gsigpu.dicom.reading.headers import files_below
from gsigpu.dicom.reading.pixels import PlaneReader
from gsigpu.dicom.study.read_study import read_study
from gsigpu.errors import FileChanged, InputError, OutputError, PixelDataError
from gsigpu.file_state import FileState, open_input, open_unchanged
from gsigpu.phantom import write_phantom
from gsigpu.pipeline.cohort_run.row_files import study_fingerprint
from tests.support.cohort import TINY

KINDS = ("zip", "stored.zip", "tar", "tar.gz", "tgz", "tar.bz2", "tar.xz")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_phantom(tmp_path_factory.mktemp("study"), TINY).dicom_folder


def packed(folder, path):
    """All files of a folder in an archive whose kind its name says."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    if path.name.endswith(".zip"):
        method = zipfile.ZIP_STORED if "stored" in path.name else zipfile.ZIP_DEFLATED
        with zipfile.ZipFile(path, "w", method) as archive:
            for file in files:
                archive.write(file, f"export/{file.relative_to(folder)}")
    else:
        mode = {"r": "w", "z": "w:gz"}.get(path.name[-1], "w:gz")
        mode = {"bz2": "w:bz2", ".xz": "w:xz"}.get(path.name[-3:], mode)
        with tarfile.open(path, mode) as archive:
            for file in files:
                archive.add(file, f"./export/{file.relative_to(folder)}")
    return path


@pytest.fixture(scope="module")
def archives(folder, tmp_path_factory):
    out = tmp_path_factory.mktemp("archives")
    return {kind: packed(folder, out / f"P001.{kind}") for kind in KINDS}


def volume(series):
    planes = series.planes
    out = np.empty((len(planes), planes[0].format.rows, planes[0].format.columns), np.int16)
    PlaneReader().read(planes, out)
    return out


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_series_and_values_as_of_the_folder(folder, archives, kind):
    expected, study = read_study(folder), read_study(archives[kind])
    assert len(files_below(archives[kind])) == len(files_below(folder))
    for a, b in zip(expected.series, study.series, strict=True):
        assert (a.key, a.energy_kev, a.phase, a.geometry) == (
            b.key,
            b.energy_kev,
            b.phase,
            b.geometry,
        )
        assert np.array_equal(volume(a), volume(b))
    first = study.series[0].planes[0].path
    assert first.is_relative_to(archives[kind] / "export")


def test_nothing_is_written_to_disk_and_no_name_leads_out(folder, tmp_path, monkeypatch):
    """Zip slip: names that lead upwards are names below the archive."""
    path = tmp_path / "in" / "slip.zip"
    path.parent.mkdir()
    image = next(file for file in sorted(folder.rglob("*")) if file.is_file())
    with zipfile.ZipFile(path, "w") as archive:
        archive.write(image, "../../../escaped.dcm")
        archive.write(image, "/rooted.dcm")
        archive.write(image, "win\\dows.dcm")
    monkeypatch.setattr(archive_rules.tempfile, "TemporaryFile", None)
    before = sorted(tmp_path.rglob("*"))
    assert [name.removeprefix(f"{path}/") for name in files_below(path)] == [
        "escaped.dcm", "rooted.dcm", "win/dows.dcm",
    ]  # fmt: skip
    assert read_study(path).series
    assert sorted(tmp_path.rglob("*")) == before


def flipped(source, out, member):
    """A copy with one bit of a member's data changed."""
    data = bytearray(source.read_bytes())
    with zipfile.ZipFile(source) as archive:
        info = archive.infolist()[member]
    data[info.header_offset + 30 + len(info.filename) + info.compress_size * 2 // 3] ^= 1
    out.write_bytes(data)
    return out, info.filename


@pytest.mark.parametrize("kind", ["zip", "stored.zip"])
@pytest.mark.parametrize("limit", ["memory", "temporary file"])
def test_a_changed_bit_is_told_before_a_voxel_counts(archives, tmp_path, kind, limit, monkeypatch):
    if limit == "temporary file":
        monkeypatch.setattr("gsigpu.archives.zip_archive.IN_MEMORY_BYTES", 0)
    path, name = flipped(archives[kind], tmp_path / "flipped.zip", 3)
    with (
        pytest.raises(PixelDataError, match="damaged in its archive") as raised,
        open_unchanged(path / name, None),
    ):
        pass
    assert raised.value.where == str(path / name)
    study = read_study(path)
    damaged = [file.path.name for file in study.skipped if file.damaged]
    whole = [plane for series in study.series for plane in series.planes]
    if damaged:  # seen by the scan already
        assert damaged == [name.rsplit("/", 1)[1]]
        assert any("damaged file is left out" in line for line in study.warnings)
    else:
        with pytest.raises(PixelDataError, match=r"IMG\d+.dcm.*damaged in its archive"):
            volume(
                next(
                    s
                    for s in study.series
                    if s.planes and path / name in {p.path for p in s.planes}
                )
            )
    assert len(whole) + len(damaged) == len(files_below(path))


def test_a_file_that_is_no_image_is_believed_by_its_checksum_alone(tmp_path, folder):
    """Its SOP class may be what is damaged."""
    image = next(file for file in sorted(folder.rglob("*")) if file.is_file()).read_bytes()
    source = tmp_path / "stored.zip"
    with zipfile.ZipFile(source, "w") as archive:
        archive.writestr("IM1", image)
    data = source.read_bytes()
    broken = data.replace(b"1.2.840.10008.5.1.4.1.1.2", b"1.2.840.10008.5.1.4.1.1.7")
    assert broken != data
    source.write_bytes(broken)
    (skipped,) = read_study(source).skipped
    assert skipped.damaged
    assert "checksum" in skipped.reason


def cut(path, out, keep=0.6):
    data = path.read_bytes()
    out.write_bytes(data[: int(len(data) * keep)])
    return out


@pytest.mark.parametrize("kind", KINDS)
def test_a_cut_archive_is_an_error_that_names_it(archives, tmp_path, kind):
    path = cut(archives[kind], tmp_path / f"cut.{kind}")
    with pytest.raises(InputError, match="is damaged, cut off or no archive") as raised:
        read_study(path)
    assert raised.value.where == str(path)


def test_a_tar_cut_between_two_files_is_not_whole(tmp_path):
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w") as archive:
        for name in ("a", "b"):
            member = tarfile.TarInfo(name)
            archive.addfile(member)
    path.write_bytes(path.read_bytes()[:1024])
    with pytest.raises(InputError, match="empty blocks"):
        files_below(path)


def test_a_changed_bit_in_a_compressed_tar(archives, tmp_path):
    data = bytearray(archives["tar.gz"].read_bytes())
    data[len(data) // 2] ^= 1
    path = tmp_path / "a.tar.gz"
    path.write_bytes(data)
    with pytest.raises(InputError, match="is damaged"):
        files_below(path)


def refused(path, match):
    with pytest.raises(InputError, match=match) as raised:
        files_below(path)
    assert raised.value.where == str(path)


def test_what_cannot_be_read_is_refused_by_name(tmp_path):
    data = bytearray(zipped(tmp_path / "plain.zip", {"Doe^Jane": b"x"}).read_bytes())
    directory = data.index(b"PK\x01\x02")
    encrypted, other = bytearray(data), bytearray(data)
    encrypted[directory + 8] |= 1
    other[directory + 10] = 9
    (tmp_path / "e.zip").write_bytes(encrypted)
    (tmp_path / "m.zip").write_bytes(other)
    refused(tmp_path / "e.zip", "is encrypted; unpack it with its password")
    refused(tmp_path / "m.zip", "method 9")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with zipfile.ZipFile(tmp_path / "t.zip", "w") as archive:
            archive.writestr("a", "1")
            archive.writestr("./a", "2")
    refused(tmp_path / "t.zip", "two files of one name")
    with tarfile.open(tmp_path / "l.tar", "w") as archive:
        link = tarfile.TarInfo("x")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    refused(tmp_path / "l.tar", "holds links")
    (tmp_path / "n.zip").write_text("no zip")
    refused(tmp_path / "n.zip", "no archive")


def zipped(path, files):
    path.parent.mkdir(exist_ok=True)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def test_a_bomb_is_refused_before_it_is_inflated(tmp_path, monkeypatch):
    for module in (archive_rules,):
        monkeypatch.setattr(module, "MOST_BYTES", 10_000)
    refused(zipped(tmp_path / "a.zip", {"a": bytes(6_000), "b": bytes(6_000)}), "unpacks to more")
    with tarfile.open(tmp_path / "b.tar.gz", "w:gz") as archive:
        archive.add(zipped(tmp_path / "c.zip", {"x": bytes(range(256)) * 300}))
        member = tarfile.TarInfo("zeros")
        member.size = 50_000
        with (tmp_path / "zeros").open("wb") as file:
            file.truncate(member.size)
        with (tmp_path / "zeros").open("rb") as file:
            archive.addfile(member, file)
    refused(tmp_path / "b.tar.gz", "unpacks to more")
    monkeypatch.setattr(archive_rules, "MOST_FILES", 1)
    refused(zipped(tmp_path / "d.zip", {"a": b"", "b": b""}), "unpacks to more")


def test_a_size_that_lies_is_damage(tmp_path):
    """The directory says less than there is: a bomb behind a small number."""
    data = bytearray(zipped(tmp_path / "a.zip", {"a": bytes(5_000)}).read_bytes())
    at = data.index(b"PK\x01\x02") + 24
    data[at : at + 4] = (100).to_bytes(4, "little")
    (tmp_path / "a.zip").write_bytes(data)
    with (
        pytest.raises(PixelDataError, match="damaged in its archive"),
        open_unchanged(tmp_path / "a.zip/a", None),
    ):
        pass


def test_no_room_for_a_temporary_file(tmp_path, archives, monkeypatch):
    monkeypatch.setattr(archive_rules, "SPARE_DISK_BYTES", 2**62)
    path = tmp_path / "room.tar.gz"
    path.write_bytes(archives["tar.gz"].read_bytes())
    with pytest.raises(OutputError, match=r"no room to inflate room\.tar\.gz.*TMPDIR"):
        files_below(path)


def test_large_files_are_inflated_once_into_a_file_without_a_name(archives, monkeypatch):
    monkeypatch.setattr("gsigpu.archives.zip_archive.IN_MEMORY_BYTES", 0)
    made = []
    real = archive_rules.tempfile.TemporaryFile
    monkeypatch.setattr(
        archive_rules.tempfile, "TemporaryFile", lambda: made.append(real()) or made[-1]
    )
    name = files_below(archives["zip"])[0]
    plain = open_input(name).read(-1)
    for _ in range(3):
        with open_unchanged(open_archives.Path(name), None) as file:
            file.seek(-10, 2)
            assert file.read(-1) == plain[-10:]
            file.seek(0)
            assert file.read(132) == plain[:132]
    assert len(made) == 1


def test_a_killed_process_leaves_nothing(archives, tmp_path):
    """Even by SIGKILL: the system removes what has no name."""
    code = (
        "import os, sys; from gsigpu.dicom.reading.headers import files_below;"
        "files_below(__import__('pathlib').Path(sys.argv[1])); os.kill(os.getpid(), 9)"
    )
    env = {**__import__("os").environ, "TMPDIR": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", code, str(archives["tar.gz"])], env=env, check=False
    )
    assert done.returncode == -9
    assert list(tmp_path.iterdir()) == []


def test_a_changed_archive_is_seen(folder, tmp_path):
    path = packed(folder, tmp_path / "a.zip")
    before, content = study_fingerprint(path), study_fingerprint(path, by_content=True)
    study = read_study(path)
    state = study.series[0].planes[0].state
    assert FileState.of(study.series[0].planes[0].path) == state
    other = packed(folder, tmp_path / "b.zip")
    assert study_fingerprint(other) != before
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("more", "x")
    assert study_fingerprint(path) != before
    assert study_fingerprint(path, by_content=True) != content
    with pytest.raises(FileChanged):
        volume(study.series[0])


def test_a_folder_in_an_archive_and_one_called_like_one(archives, folder, tmp_path):
    path = archives["zip"]
    names = [name for name in files_below(path) if "/SER" in name]
    inner = open_archives.Path(names[0]).parent
    assert files_below(inner) == [name for name in names if name.startswith(f"{inner}/")]
    with pytest.raises(InputError, match="is not in its archive"):
        files_below(path / "nowhere")
    (tmp_path / "P001.zip").mkdir()
    (tmp_path / "P001.zip" / "file").write_text("x")
    assert files_below(tmp_path / "P001.zip") == [str(tmp_path / "P001.zip" / "file")]
    assert open_archives.split_at_archive(tmp_path / "P001.zip" / "file") is None
    zipped(tmp_path / "more" / "P002.zip", {"a": b"x"})
    assert [file.reason for file in read_study(tmp_path / "more").skipped] == [
        "an archive, which is read where it is named itself"
    ]
    empty = zipped(tmp_path / "empty.zip", {})
    with pytest.raises(InputError, match="empty"):
        read_study(empty)
