"""The energy of monoenergetic images that only KVP or Protocol Name could tell.

Some scanners write the energy into KVP, others leave the tube voltage there, and a protocol's name
is the same for all that is reconstructed. So such a value counts only where the acquisition bears
it out: it differs between its monoenergetic images, and agrees with those whose energy is known. A
KVP below 70 is no tube voltage, and counts by itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from gsigpu.dicom.model import Evidence, SeriesKind
from gsigpu.dicom.study.acquisitions import acquisitions
from gsigpu.dicom.study.classify import LOWEST_TUBE_KV, SAME_ENERGY_KEV, Classification


def settle_energies(
    headers: Sequence[Evidence], classified: Sequence[Classification]
) -> list[Classification]:
    """The classifications, with the weak energies that their acquisition bears out."""
    settled = list(classified)
    vmi = [i for i, known in enumerate(classified) if known.kind is SeriesKind.VMI]
    for members in acquisitions([headers[i] for i in vmi]):
        group = [vmi[place] for place in members]
        kvp_tells = _kvp_tells([headers[i] for i in group], [classified[i] for i in group])
        silent = [i for i in group if classified[i].energy_kev is None]
        known_kev = {classified[i].energy_kev for i in group}
        for i in silent:
            energy = _from_protocol(i, silent, headers, classified)
            if energy is None or energy[0] in known_kev:
                energy = _from_kvp(classified[i], kvp_tells=kvp_tells)
            if energy is not None:
                kev, line = energy
                settled[i] = replace(
                    classified[i],
                    energy_kev=kev,
                    evidence_used=(*classified[i].evidence_used, line),
                    problem=None,
                )
    return settled


def _kvp_tells(headers: Sequence[Evidence], classified: Sequence[Classification]) -> bool:
    """Whether KVP differs between these images, and is the energy of those whose energy is known."""
    voltages = {header.kvp for header in headers if header.kvp is not None}
    agrees = all(
        known.energy_kev is None
        or (header.kvp is not None and abs(header.kvp - known.energy_kev) <= SAME_ENERGY_KEV)
        for header, known in zip(headers, classified, strict=True)
    )
    return len(voltages) > 1 and agrees


def _from_kvp(known: Classification, *, kvp_tells: bool) -> tuple[float, str] | None:
    if known.kvp_energy is None:
        return None
    kev, line = known.kvp_energy
    if kvp_tells:
        return kev, f"{line}, and differs between the monoenergetic images of the acquisition"
    if kev < LOWEST_TUBE_KV:
        return kev, f"{line}, which is no tube voltage, in a monoenergetic image"
    return None


def _from_protocol(
    index: int,
    silent: Sequence[int],
    headers: Sequence[Evidence],
    classified: Sequence[Classification],
) -> tuple[float, str] | None:
    """The protocol's energy, where no other series without an energy has the same protocol."""
    energy = classified[index].protocol_energy
    if energy is None:
        return None
    sharing = {headers[i].series_uid for i in silent if classified[i].protocol_energy is not None}
    if len(sharing) > 1:
        return None
    return energy[
        0
    ], f"{energy[1]}, in the only monoenergetic series of the acquisition without another energy"
