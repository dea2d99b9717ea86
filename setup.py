"""The compiled loops of the CPU (design/020-speed.md); all else stands in pyproject.toml.

The library is plain C to the outside and is loaded by ctypes, so one wheel serves every Python. Without a
compiler the installation goes on without it, and NumPy computes everything.
"""

import sys
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_ext import build_ext

LIBRARY = "_loops"  # gsigpu/backends/compiled.py looks for it beside itself
SOURCES = [
    "kernels/linear_maps.cpp",
    "kernels/coded_bits.cpp",
    "kernels/alike_headers.cpp",
    "kernels/overlay.cpp",
    "kernels/patient_bootstrap.cpp",
    "kernels/gathered_moments.cpp",
    "kernels/order_statistics.cpp",
    "kernels/plain_files.cpp",
    "kernels/distance_transform.cpp",
    "kernels/region_voxels.cpp",
    "kernels/region_boxes.cpp",
]
HEADERS = [
    "kernels/same_bits.h",
    "kernels/linear_maps_loop.h",
    "kernels/vectors.h",
    "kernels/distance_transform_loop.h",
    "kernels/numpy_random.h",
]
# No -march: which instructions are used is decided when it runs. Visual C++ lacks the vector types.
EXTENSIONS = (
    []
    if sys.platform == "win32"
    else [
        Extension(
            f"gsigpu.backends.{LIBRARY}",
            SOURCES,
            depends=HEADERS,
            extra_compile_args=["-std=c++17", "-O2", "-g0", "-Wno-maybe-uninitialized"],
            language="c++",
            optional=True,
        )
    ]
)


class BuildLibrary(build_ext):
    """Names the library without the version of Python, which it does not depend on."""

    def get_ext_filename(self, fullname: str) -> str:
        """Path below the build folder."""
        return str(Path(*fullname.split(".")).with_suffix(".so"))


class AnyPython(bdist_wheel):
    """A wheel for every Python 3 of this platform."""

    def get_tag(self) -> tuple[str, str, str]:
        """Tags of Python, ABI and platform."""
        return ("py3", "none", super().get_tag()[2])


setup(ext_modules=EXTENSIONS, cmdclass={"build_ext": BuildLibrary, "bdist_wheel": AnyPython})
