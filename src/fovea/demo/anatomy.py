"""A healthy eye and its retina: pigment, macula, optic disc, vessels. Never told the grade.

Coordinates are field units (centre of the field of view (0, 0), edge at radius 1, y down). Paint is planar float32
(3, n, n), red, green, blue in 0-1: channel after channel is several times faster in numpy than pixel after pixel.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from fovea.demo.vessels import Vessel, fill, vessel_tree

PALE = np.array([0.93, 0.56, 0.30])  # a blond fundus
DARK = np.array([0.66, 0.31, 0.15])  # a heavily pigmented one
DISC_COLOUR = np.array([1.0, 0.82, 0.52])
CUP_COLOUR = np.array([1.05, 0.95, 0.74])
VEIN_ABSORPTION = np.array([0.34, 0.78, 0.80])  # of red, green, blue: blood takes the green
ARTERY_ABSORPTION = np.array([0.13, 0.52, 0.60])
MACULA_ABSORPTION = np.array([0.38, 0.62, 0.75])
TEXTURE_CELLS = 256


@dataclass(frozen=True)
class Eye:
    """What is drawn of one eye; lengths in field units."""

    disc: np.ndarray          # centre (2,)
    disc_axes: np.ndarray     # half-axes (2,) of the ellipse
    cup_share: float          # cup to disc ratio
    fovea: np.ndarray         # centre (2,)
    pigment: np.ndarray       # colour (3,) of the retina
    texture: np.ndarray       # float32 (TEXTURE_CELLS, TEXTURE_CELLS), mean 0: the choroid seen through the retina
    arteries: list[Vessel]
    veins: list[Vessel]


def draw_eye(patient: np.random.Generator, eye: np.random.Generator, left: bool) -> Eye:
    """An eye from its patient's generator (shared by both eyes: pigment, disc) and its own (vessels, texture).

    Drawn as a left eye, with the disc on the left; a right eye is its mirror image.
    """
    pigment = PALE + (DARK - PALE) * patient.beta(1.3, 1.3)
    pigment = pigment * np.exp(patient.normal(0, [0.02, 0.06, 0.10]))
    ridges, cup_share, disc_radius = patient.uniform(0, 1), patient.uniform(0.3, 0.6), patient.uniform(0.115, 0.14)
    disc = np.array([-0.45, -0.03]) + eye.normal(0, [0.05, 0.04])
    fovea = disc + eye.uniform((0.58, 0.02), (0.66, 0.10))
    axes = disc_radius * np.array([eye.uniform(0.86, 0.98), 1.0])
    texture = choroid(eye, ridges)
    apart = np.array([0.01, 0.0])
    arteries, veins = vessel_tree(eye, disc + apart, fovea, 0.0080), vessel_tree(eye, disc - apart, fovea, 0.0112)
    if not left:
        disc, fovea, texture = disc * [-1, 1], fovea * [-1, 1], texture[:, ::-1]
        arteries, veins = mirrored(arteries), mirrored(veins)
    return Eye(disc, axes, cup_share, fovea, pigment, texture, arteries, veins)


def mirrored(vessels: list[Vessel]) -> list[Vessel]:
    return [Vessel(vessel.points * [-1, 1], vessel.half_widths) for vessel in vessels]


def choroid(rng: np.random.Generator, ridges: float) -> np.ndarray:
    """Mottled texture, float32, mean 0; `ridges` 0-1 says how far the choroidal vessels shine through."""
    def cloud(cells: int) -> np.ndarray:
        grid = rng.standard_normal((cells, cells), dtype=np.float32)
        return cv2.resize(grid, (TEXTURE_CELLS, TEXTURE_CELLS), interpolation=cv2.INTER_CUBIC)

    net = 0.5 - np.abs(cloud(22)) - 0.5 * np.abs(cloud(38))
    texture = 0.05 * cloud(5) + 0.03 * cloud(12) + 0.022 * cloud(60) + 0.02 * cloud(128) + 0.055 * ridges * net
    return texture - texture.mean()


def grid(cells: int) -> tuple[np.ndarray, np.ndarray]:
    """The x (1, cells) and y (cells, 1) of pixel centres in field units, float32."""
    axis = ((np.arange(cells, dtype=np.float32) + 0.5) / cells) * 2 - 1
    return axis[None, :], axis[:, None]


def near(point: np.ndarray, reach: float, cells: int) -> np.ndarray:
    """A Gaussian bell (cells, cells) of standard deviation `reach` around a point, float32."""
    x, y = grid(cells)
    point = point.astype(np.float32)  # a float64 scalar would make float64 arrays, at half the speed
    return np.exp(-((x - point[0]) ** 2) / (2 * reach**2)) * np.exp(-((y - point[1]) ** 2) / (2 * reach**2))


def absorb(paint: np.ndarray, layer: np.ndarray, absorption: np.ndarray) -> None:
    """Darken the paint in place where the uint8 layer is set, by exp(-absorption) at 255."""
    strength = layer.astype(np.float32) / 255
    for channel, kept in zip(paint, np.exp(-absorption).tolist(), strict=True):
        channel *= 1 - strength * (1 - kept)


def cover(paint: np.ndarray, layer: np.ndarray, colour: np.ndarray) -> None:
    """Replace the paint in place by a colour where the uint8 layer is set; a smooth layer may be a smaller one."""
    if layer.shape != paint.shape[1:]:
        layer = cv2.resize(layer, paint.shape[:0:-1], interpolation=cv2.INTER_LINEAR)
    strength = layer.astype(np.float32) / 255
    for channel, value in zip(paint, colour.tolist(), strict=True):
        channel += strength * (value - channel)


def paint_ground(eye: Eye, n: int) -> np.ndarray:
    """The retina without disc and vessels, planar (3, n, n). All of it is smooth: painted at a quarter of the size."""
    cells = max(n // 4, 32)
    macula = 0.42 * near(eye.fovea, 0.19, cells) + 0.42 * near(eye.fovea, 0.055, cells)
    glow = 0.10 * near(eye.disc, 0.22, cells)
    texture = cv2.resize(eye.texture, (cells, cells), interpolation=cv2.INTER_AREA)
    planes = []
    grains = (0.7, 1.3, 1.2)  # the choroid shows in green and blue more than in red
    for colour, absorption, grain in zip(eye.pigment.tolist(), MACULA_ABSORPTION.tolist(), grains, strict=True):
        plane = colour * np.exp(grain * texture + glow - absorption * macula)
        planes.append(cv2.resize(plane, (n, n), interpolation=cv2.INTER_CUBIC))
    return np.stack(planes)


def paint_disc(paint: np.ndarray, eye: Eye) -> None:
    n = paint.shape[1] // 2  # its edges are soft: half the size is enough
    turn = np.linspace(0, 2 * np.pi, 64, endpoint=False)
    rim = np.stack([np.cos(turn), np.sin(turn)], axis=1) * eye.disc_axes
    disc, cup = np.zeros((n, n), np.uint8), np.zeros((n, n), np.uint8)
    fill(disc, eye.disc + rim, 0.92)
    fill(cup, eye.disc + rim * eye.cup_share, 0.85)
    brightness = (eye.pigment[0] / PALE[0]) ** 0.3  # the disc of a dark fundus is exposed like its retina
    cover(paint, cv2.GaussianBlur(disc, (0, 0), n * 0.006), DISC_COLOUR * brightness)
    cover(paint, cv2.GaussianBlur(cup, (0, 0), n * 0.009), CUP_COLOUR * brightness)


def paint_vessels(paint: np.ndarray, eye: Eye) -> None:
    n = paint.shape[1]
    for vessels, absorption, reflex in ((eye.arteries, ARTERY_ABSORPTION, 0.45), (eye.veins, VEIN_ABSORPTION, 0.8)):
        layer = np.zeros((n, n), np.uint8)
        for vessel in vessels:
            fill(layer, vessel.outline(), 1.0)
        for trunk in vessels[:4]:  # light reflected by the rounded wall
            fill(layer, Vessel(trunk.points, trunk.half_widths * 0.3).outline(), reflex)
        absorb(paint, cv2.GaussianBlur(layer, (0, 0), n * 0.0012), absorption)


def paint_retina(eye: Eye, n: int) -> np.ndarray:
    """The healthy retina under even light, planar float32 (3, n, n)."""
    paint = paint_ground(eye, n)
    paint_disc(paint, eye)
    paint_vessels(paint, eye)
    return paint
