"""A rendered scene: a dim room, a bright window with a view, and a ball that flies past the window.

It has everything that the method is made for: texture in the highlight, an object that moves over it, and a
camera that shifts.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from apnt.bracket import Bracket
from apnt.data.painter import Canvas, Colour, ellipse, rectangle
from apnt.data.synthetic import SensorNoise, expose
from apnt.errors import InputError
from apnt.smooth import smoothstep

_MARGIN = 0.04  # in frame heights: more than the camera moves
_SHIFT = 0.018  # largest camera shift along one axis, in frame heights
_SUPERSAMPLE = 2
_REFERENCE = 1  # moment of the reference frame, the middle one of three
_NOISE = SensorNoise(shot=2e-4, read=1e-3)


@dataclass(frozen=True)
class ProceduralScene:
    """The light of the three frames.

    Attributes:
        radiance: (3, H, W, 3) float32 linear, by ascending exposure; 1 = saturation of the shortest.
        moving: (H, W) bool in the reference frame: pixels that the ball covers at any of the three moments.
    """

    radiance: np.ndarray
    moving: np.ndarray


def procedural_scene(seed: int = 0, height: int = 512, width: int = 768) -> ProceduralScene:
    """Render the scene.

    Args:
        seed: of every random choice; the same seed gives the same scene at every resolution.
        height: of a frame, at least 64.
        width: of a frame, at least 1.25 times the height.

    Raises:
        InputError: a frame that is too small or not in landscape format.
    """
    if height < 64 or width < 1.25 * height:
        raise InputError(
            "height must be at least 64 and width at least 1.25 times the height, "
            f"got height {height} and width {width}: ask for a larger frame in landscape format"
        )
    rng = np.random.default_rng(seed)
    aspect = width / height
    canvas = Canvas(height * _SUPERSAMPLE, aspect, _MARGIN)
    window = (0.36 * aspect, 0.08, 0.80 * aspect, 0.70)  # left, top, right, bottom
    _view(canvas, rng, window)
    view = canvas.image.copy()
    _room(canvas, rng, window, aspect)
    canvas.fill(rectangle(*window), view)
    _frame_and_curtains(canvas, rng, window)
    _plant(canvas, rng, (window[0] + 0.17, window[3]))
    # Real surfaces are never perfectly even.
    grain = canvas.noise(rng, (0.008, 0.008), 3)
    scene = np.clip(canvas.image * (0.92 + 0.16 * grain)[..., None], 0.0, 1.0)

    middle = np.array([window[0] + 0.53 * (window[2] - window[0]), 0.36 + 0.04 * rng.uniform(-1, 1)])
    path = middle + np.array([[-0.095, 0.035], [0.0, 0.0], [0.10, 0.05]])  # (3, 2) x, y: a flat throw
    cameras = _SHIFT * rng.uniform(0.4, 1.0, (3, 2)) * rng.choice([-1, 1], (3, 2))
    cameras[_REFERENCE] = 0
    spin = rng.uniform(0, 2 * np.pi)
    frames = []
    moving = np.zeros((height, width), bool)
    size = (height, width)
    for moment, ball in enumerate(path):
        rotation = spin + 0.5 * moment
        frame, _ = _photographed(canvas, scene, cameras[moment], ball, rotation, size)
        _, cover = _photographed(canvas, scene, cameras[_REFERENCE], ball, rotation, size)
        frames.append(frame)
        moving |= cover > 0.5
    return ProceduralScene(np.stack(frames), moving)


def procedural_bracket(seed: int = 0, height: int = 512, width: int = 768, stops: float = 2.0) -> Bracket:
    """Photograph :func:`procedural_scene` three times, 8 bits each.

    Args:
        seed, height, width: of the scene.
        stops: between neighbouring exposures, above 0 and at most 6.

    Returns:
        The bracket, ``procedural_<seed>``; its truth is the noise-free radiance of the reference frame.

    Raises:
        InputError: a frame as for the scene, or stops out of range.
    """
    if not 0 < stops <= 6:
        raise InputError(f"stops must be above 0 and at most 6, got {stops}: 2 is usual")
    scene = procedural_scene(seed, height, width)
    times = 2.0 ** (stops * np.arange(3))
    rng = np.random.default_rng([seed, 1])
    ldr = [expose(r, float(t), _NOISE, 8, rng) for r, t in zip(scene.radiance, times, strict=True)]
    return Bracket(f"procedural_{seed}", np.stack(ldr), times, scene.radiance[_REFERENCE], scene.moving)


def _photographed(
    canvas: Canvas,
    scene: np.ndarray,
    camera: np.ndarray,
    ball: np.ndarray,
    rotation: float,
    size: tuple[int, int],
) -> tuple[np.ndarray, np.ndarray]:
    """One frame (H, W, 3), and the ball's coverage of its pixels (H, W).

    Args:
        canvas: of the scene; its coordinates are used.
        scene: radiance without the ball, on the canvas.
        camera: shift (x, y) of the camera in frame heights.
        ball: position (x, y) of its centre.
        rotation: of the ball, radians.
        size: (H, W) of the frame.
    """
    # Whole steps of the finer grid: the background is never interpolated.
    left, top = np.round((_MARGIN + camera) * canvas.unit).astype(int)
    box = np.s_[top : top + size[0] * _SUPERSAMPLE, left : left + size[1] * _SUPERSAMPLE]
    x, y = canvas.x[:, box[1]] - ball[0], canvas.y[box[0]] - ball[1]
    colour, alpha = _ball(x, y, 0.105, rotation, canvas.unit)
    frame = scene[box] * (1 - alpha[..., None]) + colour * alpha[..., None]
    small = size[::-1]
    return (
        cv2.resize(frame, small, interpolation=cv2.INTER_AREA),
        cv2.resize(alpha, small, interpolation=cv2.INTER_AREA),
    )


def _ball(
    x: np.ndarray, y: np.ndarray, radius: float, rotation: float, unit: float
) -> tuple[np.ndarray, np.ndarray]:
    """A beach ball of six panels around (0, 0): colour (h, w, 3) and coverage (h, w)."""
    distance = np.hypot(x, y)
    alpha = np.clip((radius - distance) * unit + 0.5, 0.0, 1.0).astype(np.float32)
    nx, ny = x / radius + 0 * y, y / radius + 0 * x
    nz = np.sqrt(np.clip(1 - nx**2 - ny**2, 0.0, None))
    # The ball's axis leans towards the camera; the longitude is the angle around it.
    cos, sin = np.cos(0.6), np.sin(0.6)
    axis_y, axis_z = cos * ny + sin * nz, cos * nz - sin * ny
    longitude = (np.arctan2(nx, axis_z) + rotation) % (2 * np.pi)
    panels = np.array(
        [[0.85, 0.1, 0.06], [0.9, 0.88, 0.8], [0.08, 0.25, 0.75], [0.95, 0.62, 0.05], [0.9, 0.88, 0.8],
         [0.08, 0.5, 0.2]], np.float32,
    )  # fmt: skip
    position = longitude / (2 * np.pi) * len(panels)
    albedo = panels[position.astype(int) % len(panels)]
    seam = np.abs(position - np.round(position)) * np.sqrt(np.clip(1 - axis_y**2, 0.0, None))
    dots = (np.cos(longitude * 18) * np.cos(np.arcsin(np.clip(axis_y, -1, 1)) * 18)) > 0.72
    albedo = (
        albedo * np.where(dots, 0.45, 1.0)[..., None] * (0.4 + 0.6 * smoothstep(0.01, 0.03, seam))[..., None]
    )
    albedo = np.where((np.abs(axis_y) > 0.93)[..., None], np.float32(0.8), albedo)
    # The room lights the ball's front a little, and the window shines through its rim.
    light = 0.035 + 0.05 * np.clip(nz * 0.6 - nx * 0.4 - ny * 0.5, 0.0, None) + 0.16 * (1 - nz) ** 2
    gleam = 0.35 * np.exp(-((nx + 0.42) ** 2 + (ny + 0.45) ** 2) / 0.008)
    colour = albedo * light[..., None] + gleam[..., None]
    return colour.astype(np.float32), alpha


def _view(canvas: Canvas, rng: np.random.Generator, window: tuple[float, float, float, float]) -> None:
    """The view from the window: sky and clouds, hills, a village, a tree; radiance 0.05 to 1."""
    x, y = canvas.x, canvas.y
    left, top, right, bottom = window
    horizon = top + 0.68 * (bottom - top)
    height = np.clip((horizon - y) / (horizon - top), 0.0, 1.0)[..., None]  # 0 at the horizon, 1 at the top
    sky = (1 - height) * np.array([0.72, 0.70, 0.62]) + height * np.array([0.20, 0.36, 0.66])
    sky = np.broadcast_to(sky, canvas.image.shape).astype(np.float32)
    glow = np.exp(-np.hypot(x - (right - 0.12), y - (top + 0.1)) / 0.16)[..., None]
    sky = sky + glow * np.array([0.55, 0.42, 0.22], np.float32)
    billows = canvas.noise(rng, (0.36, 0.14), 6)
    # Clouds are bright where they grow thicker towards the sun, above and to the right.
    step = round(0.012 * canvas.unit)
    slope = billows - np.roll(billows, (step, -step), axis=(0, 1))
    lit = np.clip(0.72 + 2.2 * slope, 0.38, 1.0)[..., None] * np.array([1.0, 0.97, 0.92], np.float32)
    cover = smoothstep(0.46, 0.66, billows)[..., None]
    canvas.image[:] = sky * (1 - cover) + lit * cover

    grain = canvas.noise(rng, (0.05, 0.03), 4)
    for depth, (base, rise) in enumerate([(0.075, 0.07), (0.035, 0.05), (0.0, 0.03)]):
        ridge = _ridge(canvas, rng, 0.3 / (depth + 1))
        land = smoothstep(-0.001, 0.001, y - (horizon - base - rise * ridge))
        far = np.array([[0.30, 0.36, 0.46], [0.20, 0.27, 0.24], [0.13, 0.19, 0.075]][depth], np.float32)
        canvas.paint(land, far * (1 + (0.3 + 0.35 * depth) * (grain - 0.5))[..., None])
    _village(canvas, rng, left, right, horizon)
    lawn = smoothstep(-0.002, 0.002, y - (horizon + 0.075 - 0.02 * _ridge(canvas, rng, 0.4)))
    blades = canvas.noise(rng, (0.012, 0.05), 4)
    canvas.paint(lawn, np.array([0.15, 0.24, 0.06], np.float32) * (0.5 + blades)[..., None])
    _tree(canvas, rng, (right - 0.10, bottom + 0.02))


def _ridge(canvas: Canvas, rng: np.random.Generator, cell: float) -> np.ndarray:
    """(1, w): a random outline in [0, 1]."""
    return canvas.noise(rng, (cell, 10.0), 5)[:1]


def _village(canvas: Canvas, rng: np.random.Generator, left: float, right: float, ground: float) -> None:
    start = left - 0.05
    while start < right:
        wide, high = rng.uniform(0.05, 0.085), rng.uniform(0.04, 0.085)
        base = ground + rng.uniform(0.045, 0.06)
        wall = rng.uniform(0.30, 0.62) * np.array([1.0, rng.uniform(0.82, 0.95), rng.uniform(0.62, 0.88)])
        roof = rng.uniform(0.16, 0.30) * np.array([1.0, rng.uniform(0.45, 0.7), 0.4])
        peak = base - high - 0.5 * wide
        canvas.fill(rectangle(start, base - high, start + wide, base + 0.04), wall)
        eaves = [(start - 0.005, base - high), (start + wide + 0.005, base - high), (start + wide / 2, peak)]
        canvas.fill(eaves, roof)
        columns = int(wide / 0.02)
        for row in range(int(high / 0.025)):
            for column in range(columns):
                corner = start + (column + 0.3) * wide / columns, base - high + 0.008 + 0.025 * row
                pane = rectangle(*corner, corner[0] + 0.4 * wide / columns, corner[1] + 0.012)
                canvas.fill(pane, rng.uniform(0.03, 0.12) * np.array([0.8, 0.9, 1.0]))
        start += wide + rng.uniform(-0.008, 0.03)


def _tree(canvas: Canvas, rng: np.random.Generator, root: tuple[float, float]) -> None:
    """A tree whose branches fork at random and whose leaves are lit from behind."""
    bark = np.array([0.055, 0.042, 0.03])
    leaves: list[np.ndarray] = []
    limbs = [(np.array(root), -np.pi / 2 - 0.08, 0.15, 0.013)]
    while limbs:
        foot, heading, length, thick = limbs.pop()
        tip = foot + length * np.array([np.cos(heading), np.sin(heading)])
        side = np.array([-np.sin(heading), np.cos(heading)])
        corners = [
            foot - side * thick,
            foot + side * thick,
            tip + side * thick * 0.7,
            tip - side * thick * 0.7,
        ]
        canvas.fill(np.array(corners), bark)
        if length < 0.02:
            leaves.extend(tip + rng.normal(0, 0.014, (3, 2)))
            continue
        for _ in range(3):
            bend = rng.uniform(-0.75, 0.75)
            limbs.append((tip, heading + bend, length * rng.uniform(0.58, 0.78), thick * 0.62))
    for leaf in leaves:
        size = rng.uniform(0.003, 0.007)
        colour = rng.uniform(0.10, 0.42) * np.array([rng.uniform(0.5, 1.1), 1.0, 0.18])
        shape = ellipse(leaf, (size, 0.5 * size), rng.uniform(0, 180))
        canvas.fill(shape, colour)


def _room(
    canvas: Canvas, rng: np.random.Generator, window: tuple[float, float, float, float], aspect: float
) -> None:
    """Wall, panelling, bookshelf, picture and lamp; radiance 0.002 to 0.06, the lampshade more."""
    x, y = canvas.x, canvas.y
    left, top, right, bottom = window
    stripes = 0.82 + 0.18 * smoothstep(-0.15, 0.15, np.sin(x * 2 * np.pi / 0.09))
    petals = smoothstep(0.55, 0.65, np.abs(np.sin(x * 2 * np.pi / 0.18) * np.cos(y * 2 * np.pi / 0.13)))
    wear = 0.75 + 0.5 * canvas.noise(rng, (0.3, 0.3), 7)
    canvas.image[:] = (
        np.array([0.020, 0.024, 0.020], np.float32) * (stripes * (1 + 0.5 * petals) * wear)[..., None]
    )

    rail = 0.80
    boards = smoothstep(0.0, 0.04, np.abs(np.sin(x * np.pi / 0.11)))
    fibre = canvas.noise(rng, (0.015, 0.4), 5)
    wood = (
        np.array([0.026, 0.014, 0.007], np.float32)
        * ((0.4 + 1.1 * fibre) * (0.35 + 0.65 * boards))[..., None]
    )
    canvas.fill(rectangle(-1, rail, aspect + 1, 2), wood)
    for offset, level in ((0.0, 2.2), (0.012, 1.2), (0.018, 0.5)):
        canvas.fill(rectangle(-1, rail + offset, aspect + 1, rail + offset + 0.012), wood * level)

    _bookshelf(canvas, rng, (0.05, 0.06, left - 0.13, rail + 0.02))
    _picture(canvas, rng, (right + 0.12, 0.10, aspect - 0.02, 0.36))

    # Daylight lights the surroundings of the window, the lamp its corner. Both fade with distance.
    gap_x = np.maximum(np.maximum(left - x, x - right), 0)
    gap_y = np.maximum(np.maximum(top - y, y - bottom), 0)
    daylight = 0.45 + 1.1 * np.exp(-np.hypot(gap_x, gap_y) / 0.14)
    lamp = (right + 0.5 * (aspect - right) + 0.05, 0.585)
    glow = np.exp(-np.hypot(x - lamp[0], (y - lamp[1]) * 0.75) / 0.13)
    canvas.image *= daylight[..., None] + glow[..., None] * np.array([3.2, 2.2, 1.1], np.float32)
    _lamp(canvas, rng, lamp)


def _bookshelf(canvas: Canvas, rng: np.random.Generator, box: tuple[float, float, float, float]) -> None:
    left, top, right, bottom = box
    oak: Colour = np.array([0.030, 0.018, 0.010])
    canvas.fill(rectangle(left - 0.015, top - 0.015, right + 0.015, bottom), oak)
    rows = 4
    step = (bottom - top) / rows
    for row in range(rows):
        floor = top + (row + 1) * step - 0.014
        canvas.fill(rectangle(left, top + row * step, right, floor), np.array([0.004, 0.003, 0.002]))
        spine = left + 0.002
        while spine < right - 0.012:
            wide = min(rng.uniform(0.011, 0.028), right - spine)
            high = step * rng.uniform(0.58, 0.86)
            hue = rng.choice(
                [
                    [1.0, 0.25, 0.18],
                    [0.2, 0.45, 0.9],
                    [0.9, 0.8, 0.6],
                    [0.25, 0.6, 0.3],
                    [0.8, 0.5, 0.15],
                    [0.45, 0.3, 0.5],
                ]
            )
            cloth = rng.uniform(0.012, 0.05) * hue
            canvas.fill(rectangle(spine, floor - high, spine + wide - 0.0015, floor), cloth)
            # A lit edge makes the spine look round; gilt bands are its title.
            canvas.fill(rectangle(spine + 0.2 * wide, floor - high, spine + 0.4 * wide, floor), cloth * 1.6)
            for band in rng.uniform(0.1, 0.9, int(rng.integers(1, 4))):
                line = floor - high * band
                gilt = rectangle(spine, line, spine + wide - 0.0015, line + 0.006)
                canvas.fill(gilt, np.array([0.09, 0.065, 0.02]))
            spine += wide
            if rng.random() < 0.06:
                spine += 0.03


def _picture(canvas: Canvas, rng: np.random.Generator, box: tuple[float, float, float, float]) -> None:
    """A framed seascape."""
    left, top, right, bottom = box
    for inset, colour in (
        (0.0, [0.05, 0.036, 0.012]),
        (0.008, [0.022, 0.015, 0.005]),
        (0.016, [0.06, 0.056, 0.048]),
    ):
        canvas.fill(rectangle(left + inset, top + inset, right - inset, bottom - inset), colour)
    inner = rectangle(left + 0.03, top + 0.03, right - 0.03, bottom - 0.03)
    strokes = canvas.noise(rng, (0.08, 0.012), 4)[..., None]
    sea = np.where((canvas.y > top + 0.15)[..., None], [0.006, 0.022, 0.036], [0.055, 0.035, 0.025])
    canvas.fill(inner, sea.astype(np.float32) * (0.3 + 1.5 * strokes))


def _lamp(canvas: Canvas, rng: np.random.Generator, centre: tuple[float, float]) -> None:
    x, y = centre
    canvas.fill(rectangle(x - 0.006, y + 0.06, x + 0.006, 1.2), [0.030, 0.022, 0.010])
    shade = [(x - 0.045, y - 0.065), (x + 0.045, y - 0.065), (x + 0.08, y + 0.065), (x - 0.08, y + 0.065)]
    pleats = 0.8 + 0.2 * np.cos((canvas.x - x) / (1 + 3.5 * (canvas.y - y + 0.065)) * 420)
    bulb = np.exp(-(((canvas.x - x) / 0.05) ** 2 + ((canvas.y - y - 0.01) / 0.055) ** 2))
    linen = canvas.noise(rng, (0.01, 0.01), 3)
    light = (0.10 + 0.34 * bulb) * pleats * (0.85 + 0.3 * linen)
    canvas.fill(shade, light[..., None] * np.array([1.0, 0.66, 0.30], np.float32))


def _frame_and_curtains(
    canvas: Canvas, rng: np.random.Generator, window: tuple[float, float, float, float]
) -> None:
    left, top, right, bottom = window
    paint = 0.8 + 0.4 * canvas.noise(rng, (0.02, 0.2), 4)[..., None]
    cream = np.array([0.060, 0.056, 0.046], np.float32) * paint
    bars = [
        (left - 0.03, top - 0.03, right + 0.03, top), (left - 0.03, bottom, right + 0.03, bottom + 0.03),
        (left - 0.03, top, left, bottom), (right, top, right + 0.03, bottom),
    ]  # fmt: skip
    third = (right - left) / 3
    bars += [(left + k * third - 0.009, top, left + k * third + 0.009, bottom) for k in (1, 2)]
    crossing = top + 0.36 * (bottom - top)
    bars.append((left, crossing - 0.009, right, crossing + 0.009))
    for bar in bars:
        canvas.fill(rectangle(*bar), cream)
        canvas.fill(rectangle(bar[0], bar[1], bar[0] + 0.004, bar[3]), cream * 1.9)
        canvas.fill(rectangle(bar[0], bar[3] - 0.004, bar[2], bar[3]), cream * 0.45)
    canvas.fill(rectangle(left - 0.05, bottom + 0.02, right + 0.05, bottom + 0.04), cream * 2.2)
    canvas.fill(rectangle(left - 0.05, bottom + 0.04, right + 0.05, bottom + 0.05), cream * 0.4)

    weave = canvas.noise(rng, (0.004, 0.02), 3)
    for inner, outer in ((left + 0.035, left - 0.085), (right - 0.035, right + 0.085)):
        sway = inner + (outer - inner) * 0.35 * np.clip((canvas.y - top) / (bottom - top), 0.0, 1.0) ** 2
        cloth = smoothstep(-0.001, 0.001, (canvas.x - sway) * np.sign(outer - inner))
        cloth = cloth * canvas.cover(
            rectangle(min(inner, outer), top - 0.06, max(inner, outer), bottom + 0.16)
        )
        pleats = 0.5 + 0.5 * np.sin((canvas.x - sway) * 2 * np.pi / 0.026 + 1.2 * np.sin(canvas.y * 5))
        # In front of the pane, daylight shines through the cloth.
        through = np.where((canvas.x > left) & (canvas.x < right) & (canvas.y < bottom), 2.4, 1.0)
        light = (0.35 + 0.65 * pleats) * (0.8 + 0.4 * weave) * through
        canvas.paint(cloth, light[..., None] * np.array([0.062, 0.014, 0.012], np.float32))
    canvas.fill(rectangle(left - 0.12, top - 0.072, right + 0.12, top - 0.058), [0.05, 0.035, 0.012])


def _plant(canvas: Canvas, rng: np.random.Generator, foot: tuple[float, float]) -> None:
    """A potted plant on the sill, against the light."""
    x, y = foot
    for _ in range(26):
        heading = rng.uniform(-np.pi * 0.92, -np.pi * 0.08)
        reach = rng.uniform(0.05, 0.13)
        bend = np.linspace(0, 1, 9)
        stem_x = x + reach * np.cos(heading) * bend
        stem_y = y - 0.055 + reach * (np.sin(heading) * bend + 0.45 * bend**2)
        thick = 0.008 * np.sin(np.pi * np.clip(bend + 0.06, 0, 1)) + 0.0006
        blade = [
            *zip(stem_x, stem_y - thick, strict=True),
            *zip(stem_x[::-1], (stem_y + thick)[::-1], strict=True),
        ]
        green = rng.uniform(0.02, 0.11) * np.array([0.5, 1.0, 0.25])
        canvas.fill(np.array(blade), green)
    pot = [(x - 0.04, y - 0.06), (x + 0.04, y - 0.06), (x + 0.028, y + 0.022), (x - 0.028, y + 0.022)]
    shine = np.clip(1.2 - 16 * np.abs(canvas.x - x + 0.012), 0.3, None)
    canvas.fill(pot, (shine + 0 * canvas.y)[..., None] * np.array([0.055, 0.020, 0.010], np.float32))
    canvas.fill(rectangle(x - 0.045, y - 0.068, x + 0.045, y - 0.052), [0.06, 0.024, 0.013])
