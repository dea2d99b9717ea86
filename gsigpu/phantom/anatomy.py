"""An upper abdomen: organs as shapes, painted one over the other.

Definitions. Points are LPS mm around the middle of the liver: +x to the patient's left, +y to the
back, +z to the head. Organs are listed from the outside in; each one covers what came before it.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from gsigpu.phantom import tissues as t
from gsigpu.phantom.shapes import Below, Blend, Column, Common, Ellipsoid, Shape, Tube
from gsigpu.volume import Vector

VESSELS = ("portal vein", "hepatic vein", "vena cava")


@dataclass(frozen=True)
class Organ:
    """A shape filled with a tissue; `name` is shared by the parts of one organ."""

    name: str
    tissue: t.Tissue
    shape: Shape


@dataclass(frozen=True)
class Anatomy:
    """organs : in the order in which they are painted. liver : the whole of it, vessels included."""

    organs: tuple[Organ, ...]
    liver: Shape

    def shapes_of(self, *names: str) -> tuple[Shape, ...]:
        """The shapes of the organs so called."""
        return tuple(organ.shape for organ in self.organs if organ.name in names)


def _cavity(inset_mm: float) -> Column:
    return Column((0.0, -6.0), (137.0 - inset_mm, 84.0 - inset_mm), 2.2)


def _under_diaphragm(inset_mm: float) -> Shape:
    """Two domes, the right one higher, standing on the abdomen."""
    return Blend(
        (
            Ellipsoid((-64.0, 0.0, -25.0), (84.0 - inset_mm, 96.0 - inset_mm, 86.0 - inset_mm)),
            Ellipsoid((60.0, 4.0, -25.0), (86.0 - inset_mm, 94.0 - inset_mm, 76.0 - inset_mm)),
            Below(-8.0 - inset_mm, (0.0, -0.25)),
        ),
        smooth_mm=24.0,
    )


def _liver() -> Shape:
    lobes = Blend(
        (
            Ellipsoid((-74.0, 2.0, 0.0), (66.0, 86.0, 92.0), 2.4),
            Ellipsoid((-4.0, -50.0, 22.0), (66.0, 30.0, 44.0)),
        ),
        smooth_mm=36.0,
    )
    hollows = (
        Ellipsoid((-60.0, 60.0, -62.0), (37.0, 38.0, 62.0)),  # right kidney
        Ellipsoid((-6.0, 14.0, -18.0), (24.0, 30.0, 44.0)),  # hilum
        Ellipsoid((-15.0, -80.0, -16.0), (3.0, 27.0, 40.0)),  # falciform fissure
        Column((-14.0, 68.0), (42.0, 30.0)),  # spine and its muscles
    )
    return Common((lobes, _cavity(2.0), _under_diaphragm(2.5)), hollows)


def _branches(tissue: t.Tissue, *lines: tuple[tuple[Vector, ...], tuple[float, ...]]) -> Organ:
    return Organ(tissue.name, tissue, Blend(tuple(Tube(*line) for line in lines), smooth_mm=3.0))


def _vessels() -> Iterator[Organ]:
    yield _branches(
        t.HEPATIC_VEIN,
        (((-24.0, 10.0, 44.0), (-62.0, 20.0, 30.0), (-104.0, 26.0, 0.0)), (5.0, 4.0, 1.6)),
        (((-24.0, 6.0, 44.0), (-46.0, -24.0, 24.0), (-62.0, -54.0, -12.0)), (4.5, 3.8, 1.6)),
        (((-22.0, 2.0, 44.0), (-6.0, -32.0, 36.0), (30.0, -54.0, 28.0)), (4.5, 3.2, 1.4)),
    )
    yield _branches(
        t.PORTAL_VEIN,
        (((4.0, 6.0, -50.0), (-20.0, -2.0, -12.0)), (7.5, 7.0)),
        (((-20.0, -2.0, -12.0), (-54.0, -4.0, -2.0), (-84.0, -30.0, 12.0), (-104.0, -44.0, 26.0)),
         (6.5, 5.5, 3.6, 1.6)),
        (((-54.0, -4.0, -2.0), (-88.0, 24.0, -8.0), (-110.0, 40.0, -22.0)), (5.0, 3.6, 1.6)),
        (((-20.0, -2.0, -12.0), (-12.0, -34.0, 8.0), (18.0, -54.0, 16.0), (40.0, -54.0, 22.0)),
         (5.5, 4.5, 3.0, 1.4)),
        (((-66.0, -16.0, 3.0), (-82.0, -42.0, -14.0), (-88.0, -56.0, -34.0)), (4.0, 3.0, 1.4)),
        (((-70.0, 9.0, -5.0), (-92.0, 30.0, 16.0), (-104.0, 34.0, 32.0)), (3.8, 2.8, 1.4)),
        (((4.0, 6.0, -42.0), (40.0, 16.0, -14.0), (82.0, 26.0, 6.0)), (5.5, 4.5, 3.0)),
    )  # fmt: skip
    yield _branches(
        t.VENA_CAVA,
        (((-20.0, 26.0, -140.0), (-22.0, 22.0, 0.0), (-24.0, 8.0, 48.0), (-20.0, -8.0, 80.0)),
         (12.0, 11.5, 12.0, 12.0)),
    )  # fmt: skip
    yield _branches(
        t.AORTA,
        (((8.0, 30.0, -140.0), (12.0, 30.0, 20.0), (18.0, 38.0, 140.0)), (10.5, 11.0, 12.5)),
        (((11.0, 22.0, -2.0), (10.0, 8.0, -5.0)), (3.6, 2.8)),  # coeliac trunk
    )


def _spine() -> Iterator[Organ]:
    for side in (-1.0, 1.0):
        yield Organ("muscle", t.MUSCLE, Column((side * 34.0, 82.0), (27.0, 19.0), 2.5))
        yield Organ("muscle", t.MUSCLE, Ellipsoid((side * 27.0, 54.0, -90.0), (16.0, 17.0, 70.0)))
    for level in range(-4, 5):
        z = 34.0 * level
        arch = Blend(
            (
                *(
                    Tube(((s * 8.0, 72.0, z), (s * 36.0, 76.0, z + 4.0)), (7.0, 3.5))
                    for s in (-1, 1)
                ),
                Tube(((0.0, 88.0, z), (0.0, 104.0, z - 16.0)), (6.0, 4.0)),
                Tube(((-10.0, 76.0, z), (0.0, 90.0, z - 2.0), (10.0, 76.0, z)), (5.0, 5.0, 5.0)),
            ),
            smooth_mm=4.0,
        )
        yield Organ("bone", t.CORTICAL_BONE, arch)
        yield Organ("bone", t.CORTICAL_BONE, Ellipsoid((0.0, 56.0, z), (22.0, 17.0, 15.5), 5.0))
        yield Organ("bone", t.MARROW, Ellipsoid((0.0, 56.0, z), (20.5, 15.5, 14.0), 5.0))
    yield Organ("spinal canal", t.CORD, Column((0.0, 79.0), (9.5, 7.5)))


def _ribs() -> Iterator[Organ]:
    for level in range(-2, 8):
        z_mm = 27.0 * level + 8.0
        reach = 2.35 if level > 0 else 1.7 + 0.25 * level  # the lowest ribs end in the flank
        for side in (-1.0, 1.0):
            angles = [0.3 + (reach - 0.3) * step / 11 for step in range(12)]
            line = tuple(
                (side * 144.0 * math.sin(a), -4.0 + 92.0 * math.cos(a), z_mm - 24.0 * a)
                for a in angles
            )
            for tissue, radius in ((t.CORTICAL_BONE, 5.6), (t.MARROW, 3.6)):
                for piece in itertools.pairwise(line):  # one by one: small boxes
                    yield Organ("bone", tissue, Tube(piece, (radius, radius)))


def _bowel() -> Iterator[Organ]:
    stomach = Blend(
        (
            Ellipsoid((62.0, 8.0, 34.0), (40.0, 44.0, 34.0)),
            Ellipsoid((58.0, -32.0, -2.0), (36.0, 34.0, 40.0)),
            Ellipsoid((20.0, -40.0, -42.0), (34.0, 18.0, 18.0)),
        ),
        smooth_mm=30.0,
    )
    inside = _under_diaphragm(3.0)
    inner = Blend(
        (
            Ellipsoid((62.0, 8.0, 34.0), (36.0, 40.0, 30.0)),
            Ellipsoid((58.0, -32.0, -2.0), (32.0, 30.0, 36.0)),
            Ellipsoid((20.0, -40.0, -42.0), (30.0, 14.0, 14.0)),
        ),
        smooth_mm=28.0,
    )
    spleen = Common(
        (Ellipsoid((96.0, 34.0, 10.0), (38.0, 48.0, 56.0)), _cavity(2.0), inside),
        (Ellipsoid((66.0, 10.0, 20.0), (44.0, 42.0, 60.0)),),
    )
    yield Organ("spleen", t.SPLEEN, spleen)
    yield Organ("stomach", t.STOMACH_WALL, Common((stomach, _cavity(3.0), inside)))
    fluid = Common((inner, _cavity(6.0), _under_diaphragm(6.0)))
    yield Organ("stomach", t.STOMACH_FLUID, fluid)
    air = Common((fluid, Ellipsoid((56.0, -92.0, 0.0), (140.0, 46.0, 140.0), 8.0)))
    yield Organ("stomach", t.AIR, air)
    for centre, radii in (
        ((104.0, -34.0, -54.0), (22.0, 24.0, 36.0)),
        ((62.0, -62.0, -66.0), (40.0, 17.0, 20.0)),
        ((-30.0, -66.0, -84.0), (50.0, 16.0, 20.0)),
    ):
        lumen = (radii[0] - 3.5, radii[1] - 3.5, radii[2] - 3.5)
        gas = (centre[0] + 2.0, centre[1] - 6.0, centre[2])
        yield Organ("colon", t.STOMACH_WALL, Common((Ellipsoid(centre, radii), _cavity(3.0))))
        whole = Common((Ellipsoid(centre, lumen), _cavity(6.5)))
        yield Organ("colon", t.STOMACH_FLUID, whole)
        yield Organ("colon", t.AIR, Common((whole, Ellipsoid(gas, (60.0, 12.0, 60.0), 4.0))))


@lru_cache(maxsize=1)
def upper_abdomen() -> Anatomy:
    """The one anatomy there is: an abdomen of 336 by 232 mm, from lung bases to kidneys."""
    body = Column((0.0, 0.0), (168.0, 116.0), 2.35)
    cavity = _cavity(0.0)
    liver = _liver()
    recess = Common((cavity,), (_under_diaphragm(0.0),))
    organs: list[Organ] = [
        Organ("skin", t.SKIN, body),
        Organ("fat", t.FAT, Column((0.0, 0.0), (166.0, 114.0), 2.35)),
        Organ("muscle", t.MUSCLE, Column((0.0, -2.0), (150.0, 98.0), 2.3)),
        Organ("fat", t.FAT, cavity),
        Organ("muscle", t.MUSCLE, Common((cavity, _under_diaphragm(-1.5)), (_under_diaphragm(1.5),))),
        Organ("lung", t.LUNG, Common((recess,), (_under_diaphragm(-1.5),))),
        Organ("heart", t.HEART, Common((Ellipsoid((22.0, -44.0, 84.0), (60.0, 46.0, 42.0)), recess))),
        *_spine(),
        *_ribs(),
        *_bowel(),
        Organ("pancreas", t.PANCREAS, Tube(
            ((-18.0, -6.0, -52.0), (10.0, -8.0, -36.0), (44.0, 8.0, -18.0), (80.0, 24.0, -2.0)),
            (13.0, 9.0, 9.0, 7.0),
        )),
        Organ("liver", t.LIVER, liver),
        Organ("gallbladder", t.BILE, Ellipsoid((-46.0, -50.0, -48.0), (15.0, 22.0, 26.0))),
    ]  # fmt: skip
    for x, z in ((-60.0, -62.0), (62.0, -50.0)):
        kidney = Ellipsoid((x, 46.0, z), (27.0, 29.0, 54.0))
        sinus = Ellipsoid((x * 0.82, 40.0, z), (11.0, 12.0, 28.0))
        organs += [Organ("kidney", t.KIDNEY, kidney), Organ("fat", t.FAT, sinus)]
    organs += list(_vessels())
    return Anatomy(tuple(organs), liver)
