"""What NVRTC makes of linear_maps.cu, read by nvdisasm: registers, spills, loads in flight, no slow conversions.

Static facts of the code, not times. They hold for the NVRTC that constraints.txt pins.
"""

import re
import subprocess
from importlib.metadata import PackageNotFoundError, files

import pytest

from gsigpu.backends.kernel_source import linear_maps_options
from tests.kernels.device_code import READ_ARCHITECTURES, cubin, unavailable

INSTRUCTION = re.compile(r"^\s+/\*[0-9a-f]{4,}\*/\s+(?:@!?U?P\w+\s+)?([A-Z][\w.]*)\s*(.*?);", re.M)
# Two blocks of 256 threads on a multiprocessor of 65536 registers leave 128 to a thread, five leave 48.
MOST_REGISTERS = {(1, 2): 48, (4, 11): 128}


def nvdisasm():
    """Where the package nvidia-cuda-nvdisasm has put the program."""
    try:
        places = files("nvidia-cuda-nvdisasm") or ()
    except PackageNotFoundError:
        places = ()
    for place in places:
        if place.name in ("nvdisasm", "nvdisasm.exe"):
            return str(place.locate())
    return unavailable("nvdisasm is missing (pip install nvidia-cuda-nvdisasm)")


def disassembled(tmp_path, name, architecture, options):
    """(text, kinds of its instructions in order) of a kernel's device code."""
    path = tmp_path / f"{name}.cubin"
    path.write_bytes(cubin(name, architecture, options))
    command = [nvdisasm(), "--no-dataflow", path]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    kinds = [instruction.split(".")[0] for instruction, _ in INSTRUCTION.findall(text)]
    assert "EXIT" in kinds
    return text, kinds


def most_registers(text, name):
    """Of a thread of the kernel."""
    counts = rf"EIATTR_REGCOUNT.*?index@\({name}\).*?\.word\s+0x([0-9a-f]+)"
    return int(re.search(counts, text, re.DOTALL)[1], 16)


def registers_of(operand_text):
    """Registers that an instruction names; `R4.64` is R4 and R5."""
    names = re.findall(r"\bR(\d+)(?:\.reuse)?(\.64)?", operand_text)
    return {int(number) + step for number, wide in names for step in range(2 if wide else 1)}


@pytest.mark.parametrize("architecture", READ_ARCHITECTURES)
@pytest.mark.parametrize("as_integers", [True, False], ids=["int16-padding", "float32"])
@pytest.mark.parametrize(("n_maps", "n_energies"), [(1, 2), (4, 11)])
def test_registers_loads_and_conversions(tmp_path, n_maps, n_energies, as_integers, architecture):
    options = linear_maps_options(
        n_maps=n_maps,
        n_energies=n_energies,
        quantised=as_integers,
        has_padding=as_integers,
        vector=True,
    )
    text, kinds = disassembled(tmp_path, "linear_maps", architecture, options)
    assert most_registers(text, "linear_maps") <= MOST_REGISTERS[n_maps, n_energies]
    instructions = INSTRUCTION.findall(text)
    assert not {"LDL", "STL"} & set(kinds), "registers are spilled"
    assert not {"I2F", "I2FP", "F2I", "FRND"} & set(kinds), "conversions at a fraction of the rate"

    loads = [i for i, kind in enumerate(kinds) if kind == "LDG"]
    assert len(loads) == n_energies
    assert all(".128" in instructions[i][0] for i in loads)
    pending = set()
    for i in range(loads[0], loads[-1] + 1):
        assert kinds[i] not in ("BRA", "BSSY", "BSYNC", "WARPSYNC"), "loads are parted by a branch"
        target, _, address = instructions[i][1].partition(",")
        used = registers_of(address if i in loads else instructions[i][1])
        assert not used & pending, "a value is used before all loads are issued"
        if i in loads:
            (first,) = registers_of(target)
            pending |= set(range(first, first + 4))
