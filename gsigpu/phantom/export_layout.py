"""Which series a phantom's export has, and which image of a slice goes into which of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydicom.dataset import Dataset

from gsigpu.phantom.enhanced import add_enhanced_image
from gsigpu.phantom.multi_energy import add_multi_energy_image, characteristics
from gsigpu.phantom.phantom_settings import PhantomSettings
from gsigpu.phantom.series_sinks import ClassicSink, MultiframeSink, Sink, export_path
from gsigpu.phantom.vendor_headers import (
    VENDORS,
    Quantity,
    add_classic_image,
    add_rescale,
    series_dataset,
)
from gsigpu.volume import VolumeGeometry

CONVENTIONAL_KEV = 68.0  # a 120 kVp image of a body looks about like this
FIRST_SERIES_NUMBER = 301


@dataclass(frozen=True, slots=True)
class Image:
    """One image of every slice.

    phase : whose iodine it shows
    sink, index_in_series : the series that takes it, and as which of its energies
    index_of_noise : which of the slice's own noise fields it has
    energy_kev : of an image in HU
    quantity : of a vendor's map
    """

    phase: str
    sink: Sink
    index_in_series: int = 0
    index_of_noise: int = 0
    energy_kev: float | None = None
    quantity: Quantity | None = None


@dataclass
class Export:
    """The series of one study under `folder`; made by walking through `images`."""

    settings: PhantomSettings
    geometry: VolumeGeometry
    study_uid: str
    folder: Path
    sinks: list[Sink] = field(default_factory=list)
    _number: int = FIRST_SERIES_NUMBER

    def images(self) -> Iterator[Image]:
        """Every image of a slice, series by series, in the order of a scanner's series numbers."""
        for phase in self.settings.phases:
            yield from self._monoenergetic(phase)
            yield from self._vendor_maps(phase)
            if "conventional" in self.settings.extras:
                yield self._conventional(phase)

    def _monoenergetic(self, phase: str) -> Iterator[Image]:
        energies = self.settings.energies_kev
        vendor = VENDORS[self.settings.vendor]
        together = self.settings.layout.endswith("interleaved")
        for group in [energies] if together else [(kev,) for kev in energies]:
            description = vendor.interleaved if together else vendor.mono
            low, high = f"{group[0]:g}", f"{group[-1]:g}"
            header = self._header(phase, description, kev=low, high=high)
            sink: Sink
            if self.settings.layout.startswith("enhanced"):
                add_enhanced_image(header, self.settings, self.geometry, phase, group)
                sink = self._multiframe(header, len(group))
            else:
                add_classic_image(header, self.settings, self.geometry, phase)
                if self.settings.supplement_188:
                    add_multi_energy_image(header, self.settings, "VMI", group[0])
                sink = self._classic(
                    header,
                    [self._energy_elements(kev) if together else {} for kev in group],
                )
            for index, kev in enumerate(group):
                yield Image(
                    phase=phase,
                    sink=sink,
                    index_in_series=index,
                    index_of_noise=energies.index(kev),
                    energy_kev=kev,
                )

    def _energy_elements(self, energy_kev: float) -> dict[str, Any]:
        """What tells the energy of one image in a series that holds several."""
        elements: dict[str, Any] = {"ImageComments": f"Mono {energy_kev:g} keV"}
        if self.settings.supplement_188:
            elements["MultienergyCTCharacteristicsSequence"] = [characteristics(energy_kev)]
        return elements

    def _vendor_maps(self, phase: str) -> Iterator[Image]:
        vendor = VENDORS[self.settings.vendor]
        for extra, quantity in (("iodine", vendor.iodine), ("water", vendor.water)):
            if extra not in self.settings.extras:
                continue
            header = self._header(phase, quantity.description)
            add_classic_image(header, self.settings, self.geometry, phase)
            add_rescale(
                header,
                slope=quantity.step,
                intercept=0.0,
                rescale_type=quantity.rescale_type,
                window=quantity.window,
            )
            if self.settings.supplement_188:
                add_multi_energy_image(header, self.settings, quantity.image_type, None)
            yield Image(phase, self._classic(header), quantity=quantity)

    def _conventional(self, phase: str) -> Image:
        header = self._header(phase, VENDORS[self.settings.vendor].conventional)
        add_classic_image(header, self.settings, self.geometry, phase)
        header.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
        header.KVP = "120"
        last_noise = len(self.settings.energies_kev)
        return Image(
            phase=phase,
            sink=self._classic(header),
            index_in_series=0,
            index_of_noise=last_noise,
            energy_kev=CONVENTIONAL_KEV,
        )

    def _header(self, phase: str, description: str, **words: str) -> Dataset:
        name = VENDORS[self.settings.vendor].phase_names[phase]
        header = series_dataset(
            self.settings,
            self.study_uid,
            self.geometry,
            number=self._number,
            description=description.format(phase=name, **words),
            phase=phase,
        )
        self._number += 1
        return header

    def _classic(self, header: Dataset, per_image: list[dict[str, Any]] | None = None) -> Sink:
        def path_of(instance: int) -> Path:
            return export_path(self.folder, header, instance, self.settings)

        sink = ClassicSink(
            header=header,
            geometry=self.geometry,
            transfer_syntax=self.settings.transfer_syntax,
            path_of=path_of,
            per_image=tuple(per_image or [{}]),
        )
        self.sinks.append(sink)
        return sink

    def _multiframe(self, header: Dataset, n_images: int) -> Sink:
        path = export_path(self.folder, header, 1, self.settings)
        sink = MultiframeSink(
            header=header,
            geometry=self.geometry,
            transfer_syntax=self.settings.transfer_syntax,
            path=path,
            n_images=n_images,
        )
        self.sinks.append(sink)
        return sink
