"""What holds for every method of the registry."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

import apnt
from apnt._fuse import fused_image
from apnt.bracket import Bracket
from apnt.cli import app
from apnt.data.procedural import procedural_bracket
from apnt.io.radiance import read_radiance
from apnt.methods import METHODS, Method, Options, load_method
from apnt.metrics import psnr_mu
from apnt.nn import checkpoint
from apnt.nn.compared.registry import NETWORKS, build, network_config

TIMES = np.array([1.0, 4, 16])
WIDTHS = {
    "kalantari17": {"channels": [6, 6, 6]},
    "wu18": {"channels": 2, "blocks": 1},
    "yan19": {"channels": 6, "growth": 2},
}
DISPLAY = [name for name, entry in METHODS.items() if entry.kind == "display"]
RADIANCE = [name for name, entry in METHODS.items() if entry.kind == "radiance"]


@pytest.fixture(scope="session")
def narrow(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Weights of every network: packaged ones, or else narrow and untrained."""
    folder = tmp_path_factory.mktemp("narrow")
    found = {name: "default" for name in METHODS}
    for name in NETWORKS:
        if checkpoint.packaged_for(name) is None:
            found[name] = str(folder / f"{name}.safetensors")
            build(network_config({"network": name, **WIDTHS[name]})).save(found[name])
    return found


def loaded(name: str, narrow: dict[str, str]) -> Method:
    return load_method(name, Options(narrow[name], "cpu"))


def trained(name: str) -> None:
    """Skip a network that knows nothing of scenes yet."""
    if name in NETWORKS and checkpoint.packaged_for(name) is None:
        pytest.skip(f"an untrained network knows no scene, and no weights of {name} are packaged")


def exposed(radiance: np.ndarray, noise: float = 0.0, seed: int = 0) -> Bracket:
    """A still scene at three exposures, gamma 2.2, 8 bits."""
    rng = np.random.default_rng(seed)
    frames = []
    for time in TIMES:
        light = radiance * time
        light = light + noise * np.sqrt(np.maximum(light, 1e-3)) * rng.standard_normal(light.shape)
        frames.append(np.round(np.clip(light, 0, 1) ** (1 / 2.2) * 255) / 255)
    return Bracket("still", np.stack(frames).astype(np.float32), TIMES, radiance.astype(np.float32))


def scene(height: int = 144, width: int = 192) -> np.ndarray:
    """(H, W, 3) radiance of structure at every scale, some of it above the medium's saturation."""
    rng = np.random.default_rng(3)
    total = np.zeros((height, width, 3), np.float32)
    for sigma in (3, 10, 32):
        layer = cv2.GaussianBlur(rng.standard_normal(total.shape).astype(np.float32), (0, 0), sigma)
        total += layer / layer.std()
    return np.clip(0.05 * np.exp(0.8 * total), 0, 1)


def light_of(bracket: Bracket) -> np.ndarray:
    assert bracket.truth is not None
    return bracket.truth


@pytest.mark.parametrize("name", RADIANCE)
def test_a_constant_scene_returns_itself(name, narrow):
    if name != "kalantari17":  # a mean of the frames' light whatever its weights
        trained(name)
    bracket = exposed(np.full((64, 80, 3), 0.04))
    error = np.abs(fused_image(bracket, loaded(name, narrow)) / 0.04 - 1)
    # 8 bits are within 2 % of the light here. Debevec's merge gives every frame a vote, saturated or not.
    assert error.max() < {"align-debevec": 0.06}.get(name, 0.02)


@pytest.mark.parametrize("name", DISPLAY)
@pytest.mark.parametrize("value", [0.1, 0.5, 0.9])
def test_a_constant_stack_returns_itself(name, narrow, value):
    stack = np.full((3, 48, 64, 3), value, np.float32)
    assert np.abs(fused_image(Bracket("flat", stack, TIMES), loaded(name, narrow)) - value).max() < 1e-5


@pytest.mark.parametrize("name", RADIANCE)
def test_a_still_scene_merges_to_its_light(name, narrow):
    trained(name)
    bracket = exposed(scene(), noise=0.005)
    light = light_of(bracket)
    # The medium frame alone knows no light above its saturation, and OpenCV's Debevec, in which saturated
    # frames vote, gets it wrong: that is not asked of them.
    seen = ~bracket.saturated if name in ("medium", "align-debevec") else None
    least = {"align-debevec": 30.0, "medium": 37.0}.get(name, 40.0)
    assert psnr_mu(fused_image(bracket, loaded(name, narrow)), light, seen) > least


@pytest.mark.parametrize("name", DISPLAY)
def test_frames_that_differ_by_noise_alone_merge_to_their_picture(name, narrow):
    picture = exposed(scene()).ldr[1]
    rng = np.random.default_rng(0)
    noisy = np.clip(picture + 0.01 * rng.standard_normal((3, *picture.shape)), 0, 1).astype(np.float32)
    result = fused_image(Bracket("same", noisy, TIMES), loaded(name, narrow))
    # By their definitions Shen boosts details, Gu attenuates large gradients, and Li 2021 softens hue.
    alike = np.corrcoef(result.mean(axis=-1).ravel(), picture.mean(axis=-1).ravel())[0, 1]
    assert alike > (0.8 if name == "gu12" else 0.95)
    if name not in ("shen14", "gu12", "li21"):
        assert np.abs(result - picture).mean() < 0.01


@pytest.mark.parametrize("name", METHODS)
def test_a_bracket_without_times(name, narrow, tmp_path):
    bracket = procedural_bracket(1, 96, 128)
    for k, frame in enumerate(bracket.ldr):
        pixels = np.round(255 * frame[..., ::-1]).astype(np.uint8)
        cv2.imwrite(str(tmp_path / f"{k}.png"), pixels)
    with pytest.warns(UserWarning, match="exposures were measured on the pixels"):
        result = apnt.fuse(tmp_path, method=name, weights=narrow[name], device="cpu")
    assert result.shape == bracket.ldr.shape[1:]
    assert np.isfinite(result).all()
    assert result.min() >= 0
    assert result.max() <= 1


@pytest.mark.parametrize("name", DISPLAY)
def test_a_picture_asked_for_as_radiance_says_that_it_is_none(name, tmp_path: Path):
    bracket = procedural_bracket(0, 64, 80)
    paths = []
    for k, frame in enumerate(bracket.ldr):
        paths.append(str(tmp_path / f"{k}.png"))
        cv2.imwrite(paths[-1], np.round(255 * frame[..., ::-1]).astype(np.uint8))
    output = tmp_path / "out.exr"
    arguments = ["fuse", *paths, "--stops", "0,2,4", "-o", str(output), "--method", name, "--align", "off"]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.output
    assert f"{name} makes a picture for a display and no radiance: out.exr holds that" in done.output
    written = read_radiance(output)
    picture = cv2.imread(str(tmp_path / "out_preview.jpg"))[..., ::-1] / 255
    assert np.abs(written - picture).mean() < 0.03  # the same picture, but for JPEG
