"""The compiled loops in every set of instructions that the processor has, also under UBSan."""

import pytest

from gsigpu.backends import compiled
from tests.backends.test_compiled import UBSAN, built, loops


@pytest.fixture(scope="module", params=loops(), ids="-".join)
def loop(request):
    flags, name = request.param
    library = built(UBSAN if flags == "ubsan" else ["-O2"])
    if name not in compiled.sets_of(library):
        pytest.skip(f"this processor has no {name}")
    return compiled.Loop(library, name)
