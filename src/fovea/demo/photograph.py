"""One photograph: an eye, its lesions, and a camera that knows nothing of the grade.

Three independent random streams a key: the eye, the camera, the lesions. Only the last one sees the grade, so
nothing about the acquisition can go with it.
"""

from dataclasses import dataclass, replace
from statistics import NormalDist

import cv2
import numpy as np

from fovea.demo.anatomy import draw_eye, grid, near, paint_retina
from fovea.demo.icdr import choose_lesions
from fovea.demo.lesions import Lesion, paint_lesions
from fovea.seeds import generator

ASPECTS = (1.0, 4 / 3, 3 / 2)
QUALITIES = (60, 70, 75, 80, 85, 90, 95)
PAINTED = (256, 720)  # the retina is painted this wide at least and at most, then resized: larger is only slower
NORMAL_QUANTILES = np.array([NormalDist().inv_cdf((byte + 0.5) / 256) for byte in range(256)])


@dataclass(frozen=True)
class Camera:
    """How a key is photographed; lengths in field units unless said otherwise."""

    aspect: float            # width to height
    field: float             # diameter of the field of view, in heights of the frame; above 1 its poles are cut off
    shift: np.ndarray        # (2,) of the field's centre from the frame's, in frame heights
    size_share: float        # 0-1, where between the smallest and the largest size the longer side lies
    quality: int             # JPEG
    tint: np.ndarray         # (3,) gains of red, green, blue
    light: np.ndarray        # (2,) where the light is centred
    falloff: float           # light lost towards the edge
    haze: float              # light scattered from the edge
    defocus: float           # standard deviation of the blur
    noise: float             # standard deviation, grey levels of 255


def draw_camera(key: str, seed: int) -> Camera:
    """The camera of a key, whatever the grade."""
    rng = generator(seed, key, "camera")
    aspect = float(rng.choice(ASPECTS))
    return Camera(
        aspect=aspect,
        field=float(rng.uniform(0.90, 0.98) if aspect == 1.0 else rng.uniform(0.92, 1.10)),
        shift=rng.uniform(-0.01, 0.01, 2),
        size_share=float(rng.random()),
        quality=int(rng.choice(QUALITIES)),
        tint=rng.uniform(0.85, 1.12) * np.exp(rng.normal(0, [0.03, 0.04, 0.08])),
        light=rng.normal(0, 0.22, 2),
        falloff=float(rng.uniform(0.15, 0.5)),
        haze=float(rng.choice([0.0, 0.0, 0.05, 0.12])),
        defocus=float(rng.choice([0.0005, 0.001, 0.002, 0.003])),
        noise=float(rng.uniform(1.0, 4.5)),
    )


def light_of(camera: Camera, cells: int) -> np.ndarray:
    """Uneven illumination, float32 (cells, cells), about 1 at its brightest."""
    x, y = grid(cells)
    right, down = camera.light.tolist()
    radius = np.minimum(x**2 + y**2, 1.0)
    centred = np.exp(-camera.falloff * ((x - right) ** 2 + (y - down) ** 2))
    return centred * (1.06 - 0.25 * radius**3)


def expose(paint: np.ndarray, camera: Camera) -> np.ndarray:
    """Light, tint, haze, the edge of the field and focus: planar (3, n, n) to RGB uint8 (n, n, 3)."""
    n = paint.shape[1]
    cells = max(n // 4, 32)
    x, y = grid(n)
    edge = np.clip((0.995 - np.sqrt(x**2 + y**2)) / max(0.006, 2 / n) + 0.5, 0, 1)
    light = edge * cv2.resize(light_of(camera, cells), (n, n))
    haze = edge * cv2.resize(camera.haze * (1 - near(np.zeros(2), 0.6, cells)), (n, n))
    for channel, gain, veil in zip(paint, camera.tint.tolist(), (0.8, 0.75, 0.7), strict=True):
        channel *= light * (255 * gain)
        channel += haze * (255 * veil)
    picture = cv2.merge([cv2.convertScaleAbs(channel) for channel in paint])  # 8 bits: blur and warp take a third
    return cv2.GaussianBlur(picture, (0, 0), max(camera.defocus * n / 2, 0.3))


def frame_shape(camera: Camera, size: int) -> tuple[int, int]:
    """Height and width in pixels of a frame whose longer side is `size`."""
    return max(round(size / camera.aspect), 1), size


def field_of_view(camera: Camera, size: int) -> tuple[float, float, float]:
    """Centre x, centre y and radius of the field of view, in pixels of the frame."""
    height, width = frame_shape(camera, size)
    centre = np.array([width, height]) / 2 + camera.shift * height
    return float(centre[0]), float(centre[1]), camera.field * height / 2


def into_frame(picture: np.ndarray, camera: Camera, size: int) -> np.ndarray:
    """The round field of view on black, uint8 (height, width, 3)."""
    height, width = frame_shape(camera, size)
    x, y, radius = field_of_view(camera, size)
    scale = 2 * radius / picture.shape[0]
    if scale < 1:  # warpAffine does not average: shrink first
        side = max(round(2 * radius), 2)
        picture = cv2.resize(picture, (side, side), interpolation=cv2.INTER_AREA)
        scale = 2 * radius / side
    place = np.array([[scale, 0, x - radius + scale / 2 - 0.5], [0, scale, y - radius + scale / 2 - 0.5]])
    return cv2.warpAffine(picture, place, (width, height), flags=cv2.INTER_LINEAR)


def add_noise(frame: np.ndarray, camera: Camera, rng: np.random.Generator) -> np.ndarray:
    """Sensor noise, then uint8. Normal quantiles of random bytes: six times faster than normal numbers."""
    draws = np.frombuffer(rng.bytes(frame.size), np.uint8).reshape(frame.shape)
    noise = cv2.LUT(draws, (NORMAL_QUANTILES * camera.noise).astype(np.float32))
    return cv2.add(frame, noise, dtype=cv2.CV_8U)


def draw_photograph(key: str, grade: int, size: int, seed: int) -> tuple[np.ndarray, list[Lesion]]:
    """Draw one fundus-like photograph.

    `key` is "<patient>_left" or "<patient>_right"; `grade` 0-4 (ICDR); `size` the longer side in pixels. Returns RGB
    uint8 (height, width, 3) and the lesions on it in pixels of that image. The same key, size and seed with another
    grade give the same eye in the same camera, with other lesions.
    """
    patient, _, side = key.rpartition("_")
    eye = draw_eye(generator(seed, patient, "patient"), generator(seed, key, "eye"), left=side == "left")
    camera = draw_camera(key, seed)
    lesions = choose_lesions(generator(seed, key, "lesions", str(grade)), eye, grade)
    x, y, radius = field_of_view(camera, size)
    paint = paint_retina(eye, int(np.clip(2 * radius, *PAINTED)))
    paint_lesions(paint, lesions)
    frame = into_frame(expose(paint, camera), camera, size)
    photograph = add_noise(frame, camera, generator(seed, key, "noise"))
    return photograph, [replace(lesion, x=x + lesion.x * radius, y=y + lesion.y * radius,
                                radius=lesion.radius * radius) for lesion in lesions]


def encode_jpeg(photograph: np.ndarray, quality: int) -> bytes:
    """RGB uint8 (height, width, 3) as a JPEG file."""
    _, encoded = cv2.imencode(".jpg", cv2.cvtColor(photograph, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality])
    return encoded.tobytes()
