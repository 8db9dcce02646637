"""Long runs: killed and taken up again, in several processes, in parts, in other precisions; their logs."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import apnt
from apnt.data.synthetic import BracketRecipe
from apnt.errors import InputError
from apnt.nn import APNTConfig, APNTFusion
from apnt.train import log as logs
from apnt.train import network
from apnt.train.command import train_from_recipe
from apnt.train.features import train_features
from apnt.train.log import Log
from apnt.train.loop import StepBatches
from apnt.train.network import train_network
from apnt.train.processes import Processes
from apnt.train.recipe import FeatureRecipe, NetworkRecipe, ToneRecipe, ValidationRecipe
from apnt.train.state import random_state, restore_random_state

QUIET = BracketRecipe(shift=2.0, rotation=0.0, object_speed=(1.0, 3.0), objects=(1, 1))
TINY = APNTConfig(channels=(8, 8, 8), mef_blocks=1, radii=(1, 1, 2))
RECIPE = NetworkRecipe(
    steps=4, batch=2, crop=32, lr=3e-3, warmup=1, workers=0, log_steps=1, brackets=QUIET, average=0.9
)
CONFIG = """
[model]
channels = [8, 8, 8]
match_dilations = [1, 2, 4, 8, 16]
mef_blocks = 1
radii = [1, 1, 2]
[features]
steps = 6
batch = 2
crop = 32
workers = 1
log_steps = 2
save_minutes = 0
[features.brackets]
shift = 2.0
rotation = 0.0
[network]
steps = 16
batch = 2
crop = 32
lr = 3e-3
warmup = 4
average = 0.9
workers = 1
log_steps = 5
save_minutes = 0
[network.brackets]
shift = 2.0
rotation = 0.0
[network.tone]
probability = 0.5
"""


def fresh() -> APNTFusion:
    torch.manual_seed(5)
    return APNTFusion(TINY)


def interpreter(code: str, *arguments: object) -> subprocess.Popen[str]:
    """A fresh ``python`` on this apnt; what it forks has imported everything and owns no threads yet."""
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)], text=True, cwd=Path(apnt.__file__).parents[1],
        env={**os.environ, "OMP_NUM_THREADS": str(torch.get_num_threads())},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def lines(out: Path, part: str = "network") -> list[dict[str, float]]:
    rows = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    return [row for row in rows if row["part"] == part]


def differences(one: Path, two: Path) -> list[str]:
    first, second = load_file(one), load_file(two)
    assert first.keys() == second.keys()
    return [key for key in first if not torch.equal(first[key], second[key])]


OPTIONS = 'OPTIONS = ["--device", "cpu", "--no-tensorboard"]'
KILLED = """
import os, random, signal, sys, time
from pathlib import Path
from apnt.cli import app
import apnt.train.command
config, maps, out = sys.argv[1:]
for name in ("features-state.pt", "state.pt"):
    child = os.fork()
    if not child:
        app(["train", "--config", config, "--data", maps, "--out", out, *OPTIONS])
    while not (Path(out) / name).is_file():
        assert os.waitpid(child, os.WNOHANG) == (0, 0), "ended before its first state"
        time.sleep(0.001)
    wait = random.uniform(0, 0.15)  # any moment must do
    time.sleep(wait)
    os.kill(child, signal.SIGKILL)
    print(name, wait, os.WTERMSIG(os.waitpid(child, 0)[1]), flush=True)
"""


def test_one_part_alone_learns(maps: Path, tmp_path: Path) -> None:
    torch.manual_seed(5)
    begun = APNTFusion(replace(TINY, confidence=True, confidence_channels=4))
    before = {name: value.clone() for name, value in begun.state_dict().items()}
    after = load_file(train_network(begun, maps, tmp_path / "run", replace(RECIPE, part="confidence")))
    changed = {name for name, value in before.items() if not torch.equal(value, after[name])}
    assert changed == {name for name in before if name.startswith("confidence.")}
    with pytest.raises(InputError, match="part must be how names of the network's weights begin, got 'head'"):
        train_network(begun, maps, tmp_path / "none", replace(RECIPE, part="head"))


def test_a_killed_run_ends_with_the_same_weights(maps: Path, tmp_path: Path) -> None:
    config = tmp_path / "recipe.toml"
    config.write_text(CONFIG)
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    process = interpreter(OPTIONS + KILLED, config, maps, cut)
    train_from_recipe(config, maps, whole, device="cpu", tensorboard=False)
    killed, err = process.communicate(timeout=600)
    assert process.returncode == 0, err
    assert [int(line.split()[-1]) for line in killed.splitlines()] == 2 * [signal.SIGKILL], killed
    step = torch.load(cut / "state.pt", weights_only=True)["step"]
    assert 1 <= step < 16, killed

    path = train_from_recipe(config, maps, cut, device="cpu", tensorboard=False)
    assert path == cut / "model.safetensors"
    assert differences(whole / "features.safetensors", cut / "features.safetensors") == [], killed
    assert differences(whole / "model.safetensors", path) == [], (killed, step)
    for part in ("features", "network"):
        one, two = lines(whole, part), lines(cut, part)
        for row in (*one, *two):
            row.pop("seconds")
        assert one == two, killed
    assert not (cut / "features-state.pt").exists()


BOTH = """
import os, socket, sys
from apnt.cli import app
import apnt.train.command
maps, out, *configs = sys.argv[1:]
for config in configs:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    os.environ |= {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    children = []
    for rank in range(2):  # what torchrun does
        os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank)}
        children.append(os.fork())
        if not children[-1]:
            app(["train", "--config", config, "--data", maps, "--out", out, *OPTIONS])
    assert [os.waitpid(child, 0)[1] for child in children] == [0, 0]
"""


def test_two_processes_train_as_one_with_the_doubled_batch(maps: Path, tmp_path: Path) -> None:
    text = CONFIG.replace("log_steps = 5", 'log_steps = 1\nschedule = "constant"')
    text = text.replace("save_minutes = 0", "save_minutes = 5")
    configs = [tmp_path / "half.toml", tmp_path / "whole.toml"]
    for config, steps in zip(configs, (3, 6), strict=True):
        config.write_text(text.replace("steps = 16", f"steps = {steps}"))
    alone, both = tmp_path / "alone", tmp_path / "both"
    process = interpreter(OPTIONS + BOTH, maps, both, *configs)  # the second goes on from the first
    train_from_recipe(configs[1], maps, alone, device="cpu", tensorboard=False)
    printed, err = process.communicate(timeout=600)
    assert process.returncode == 0, err
    assert printed.split() == 2 * [str(both / "model.safetensors")]  # by the first process alone
    for part, steps in (("features", 3), ("network", 6)):
        one, two = lines(alone, part), lines(both, part)
        assert len(one) == len(two) == steps
        for a, b in zip(one, two, strict=True):
            assert b["loss"] == pytest.approx(a["loss"], rel=1e-4)
            assert b["lr"] == a["lr"]
    one, two = (load_file(out / "model.safetensors") for out in (alone, both))
    for key, value in one.items():
        torch.testing.assert_close(two[key], value, rtol=1e-3, atol=2e-4, msg=key)


def test_torchrun_finds_the_command() -> None:
    code = (
        "import runpy, sys; sys.argv = ['apnt', '--version']; runpy.run_module('apnt', run_name='__main__')"
    )
    printed, err = interpreter(code).communicate(timeout=60)
    assert printed.strip() == apnt.__version__, err


def test_the_number_of_processes_does_not_change_the_samples_of_a_step() -> None:
    whole = list(StepBatches(3, 6, 8, Processes()))
    assert whole == [list(range(24, 32)), list(range(32, 40)), list(range(40, 48))]
    for world in (2, 4):
        shares = [list(StepBatches(3, 6, 8, Processes(rank, world))) for rank in range(world)]
        assert [[i for share in step for i in share] for step in zip(*shares, strict=True)] == whole
    for batch, world, parts in ((3, 2, 1), (4, 2, 4), (2, 1, 4)):
        with pytest.raises(InputError, match=f"batch must be a multiple .* {world} x {parts}, got {batch}"):
            StepBatches(0, 1, batch, Processes(0, world), parts)


def test_a_step_in_parts_is_the_step(maps: Path, tmp_path: Path) -> None:
    whole = load_file(train_network(fresh(), maps, tmp_path / "whole", replace(RECIPE, batch=4)))
    parts = load_file(
        train_network(fresh(), maps, tmp_path / "parts", replace(RECIPE, batch=4, accumulate=4))
    )
    for a, b in zip(lines(tmp_path / "whole"), lines(tmp_path / "parts"), strict=True):
        assert b["loss"] == pytest.approx(a["loss"], rel=1e-4)
        assert b["psnr_mu"] == pytest.approx(a["psnr_mu"], rel=1e-4)
    for key, value in whole.items():
        torch.testing.assert_close(parts[key], value, rtol=1e-3, atol=2e-4, msg=key)


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_mixed_precision_follows_fp32(maps: Path, tmp_path: Path, precision: str) -> None:
    single = replace(RECIPE, steps=6)
    train_network(fresh(), maps, tmp_path / "fp32", single)
    train_network(fresh(), maps, tmp_path / "mixed", replace(single, precision=precision))
    losses = [[row["loss"] for row in lines(tmp_path / name)] for name in ("fp32", "mixed")]
    assert losses[1] != losses[0]
    assert losses[1] == pytest.approx(losses[0], rel=0.05)


def test_fp16_losses_are_scaled_and_the_scale_is_kept(maps: Path, tmp_path: Path) -> None:
    recipe = replace(RECIPE, precision="fp16", save_minutes=0.0)
    whole = train_network(fresh(), maps, tmp_path / "whole", recipe)
    state = torch.load(tmp_path / "whole" / "state.pt", weights_only=True)
    assert state["scaler"]["scale"] >= 1024
    part = tmp_path / "part"
    train_network(fresh(), maps, part, replace(recipe, steps=2, schedule="constant"))
    with pytest.raises(InputError, match="schedule was "):
        train_network(fresh(), maps, part, recipe)
    assert APNTFusion.from_pretrained(whole).config == TINY


def test_a_loss_that_is_not_finite_stops_the_run_and_keeps_the_state(maps: Path, tmp_path: Path) -> None:
    recipe = replace(RECIPE, schedule="constant", clip=0.0, save_minutes=0.0)
    train_network(fresh(), maps, tmp_path, replace(recipe, steps=2))
    before = (tmp_path / "state.pt").read_bytes()
    state = torch.load(tmp_path / "state.pt", weights_only=True)
    state["network"]["fusion.head.bias"][:] = float("nan")
    torch.save(state, tmp_path / "state.pt")
    broken = (tmp_path / "state.pt").read_bytes()
    with pytest.raises(FloatingPointError, match="the loss is not finite after step 3"):
        train_network(fresh(), maps, tmp_path, recipe)
    assert (tmp_path / "state.pt").read_bytes() == broken != before


def test_random_numbers_go_on() -> None:
    cpu = torch.device("cpu")
    random.seed(1), np.random.seed(2), torch.manual_seed(3)
    np.random.standard_normal(), random.gauss(0, 1), torch.rand(1)
    state = random_state(cpu)
    expected = (
        random.gauss(0, 1),
        random.random(),
        np.random.standard_normal(3).tolist(),
        torch.rand(3).tolist(),
    )
    random.seed(9), np.random.seed(9), torch.manual_seed(9)
    restore_random_state(state, cpu)
    found = (
        random.gauss(0, 1),
        random.random(),
        np.random.standard_normal(3).tolist(),
        torch.rand(3).tolist(),
    )
    assert found == expected


def test_training_leaves_no_temporary_files(maps: Path, tmp_path: Path) -> None:
    train_network(fresh(), maps, tmp_path / "out", replace(RECIPE, save_minutes=0.0))
    (tmp_path / "out" / ".apnt-0123456789abcdef.pt").write_bytes(b"a kill while this was written")
    train_network(fresh(), maps, tmp_path / "out", RECIPE)
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == [
        "log.jsonl", "model.safetensors", "state.pt",
    ]  # fmt: skip


def test_the_log_is_closed_whatever_ends_the_run(
    maps: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed: list[str] = []
    monkeypatch.setattr(Log, "close", lambda log: closed.append(log.part))

    def interrupt(*_: torch.Tensor) -> torch.Tensor:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(network, "loss_in_mu_law", interrupt)
        with pytest.raises(KeyboardInterrupt):
            train_network(fresh(), maps, tmp_path / "cut", RECIPE)
    assert closed == ["network"]
    train_network(fresh(), maps, tmp_path / "whole", RECIPE)
    assert closed == ["network", "network"]


def test_a_folder_that_is_a_file_is_named(maps: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(InputError, match=r"out must be a folder, and \S*file is a file"):
        train_network(fresh(), maps, tmp_path / "file" / "run", RECIPE)


def test_data_that_are_missing_leave_no_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nowhere does not exist: check the path"):
        train_network(fresh(), tmp_path / "nowhere", tmp_path / "run", RECIPE)
    with pytest.raises(InputError, match=r"nowhere does not exist: check the path"):
        train_features(tmp_path / "nowhere", tmp_path / "run", FeatureRecipe())
    assert not (tmp_path / "run").exists()


def test_the_log_forgets_steps_that_are_done_again(tmp_path: Path) -> None:
    log = Log(tmp_path, "network")
    other = Log(tmp_path, "features")
    for step in (10, 20, 30):
        log.write(step, {"loss": 1 / step, "psnr_mu": float("inf")})
        other.write(step, {"loss": 2.0})
    with (tmp_path / "log.jsonl").open("a") as file:
        file.write('{"part": "network", "st')
    Log(tmp_path, "network", 20).write(21, {"loss": 0.5})
    rows = [(row["part"], row["step"]) for row in map(json.loads, (tmp_path / "log.jsonl").open())]
    assert [r for r in rows if r[0] == "network"] == [("network", 10), ("network", 20), ("network", 21)]
    assert [r for r in rows if r[0] == "features"] == [("features", 10), ("features", 20), ("features", 30)]
    assert lines(tmp_path)[0]["psnr_mu"] is None  # JSON knows no infinity


def test_validation_is_logged_and_changes_nothing(maps: Path, tmp_path: Path) -> None:
    validated = replace(RECIPE, validation=ValidationRecipe(brackets=2, steps=2))
    whole = train_network(fresh(), maps, tmp_path / "whole", RECIPE)
    path = train_network(fresh(), maps, tmp_path / "validated", validated)
    assert differences(whole, path) == []
    rows = [row for row in lines(tmp_path / "validated") if "validation_psnr_mu" in row]
    assert [row["step"] for row in rows] == [2, 4]
    assert all(10 < row["validation_psnr_mu"] < 60 and row["validation_psnr_linear"] for row in rows)
    by_clock = replace(RECIPE, steps=3, validation=ValidationRecipe(brackets=1, minutes=1e-6))
    train_network(fresh(), maps, tmp_path / "clock", by_clock)
    rows = [row for row in lines(tmp_path / "clock") if "validation_psnr_mu" in row]
    assert [row["step"] for row in rows] == [1, 2, 3]
    unknown = replace(RECIPE, validation=ValidationRecipe(set="nowhere", steps=1))
    with pytest.raises(InputError, match="set must be one of"):
        train_network(fresh(), maps, tmp_path / "unknown", unknown)


def test_tensorboard_that_is_missing_is_said(
    maps: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    config = tmp_path / "recipe.toml"
    config.write_text(CONFIG.replace("steps = 16", "steps = 1").replace("workers = 1", "workers = 0"))
    with pytest.raises(InputError, match=r"TensorBoard is not installed; pip install 'apnt\[train\]'"):
        train_from_recipe(config, maps, tmp_path / "out", features="default", device="cpu", tensorboard=True)
    assert not (tmp_path / "out").exists()
    train_from_recipe(config, maps, tmp_path / "out", features="default", device="cpu")
    assert "TensorBoard is not installed" in capsys.readouterr().err
    assert [row["step"] for row in lines(tmp_path / "out")] == [1]
    train_from_recipe(config, maps, tmp_path / "quiet", features="default", device="cpu", tensorboard=False)
    assert "TensorBoard" not in capsys.readouterr().err
    assert logs.tensorboard_writer() is None


def test_tensorboard_gets_curves_and_pictures(maps: Path, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard", reason="the tensorboard package is not installed")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    recipe = replace(RECIPE, validation=ValidationRecipe(brackets=2, steps=4))
    train_network(fresh(), maps, tmp_path, recipe, tensorboard=True)
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    losses = [event.value for event in events.Scalars("network/loss")]
    assert losses == pytest.approx([row["loss"] for row in lines(tmp_path) if "loss" in row])
    assert set(events.Tags()["images"]) == {"network/train_0", "network/train_1"}
    (image,) = events.Images("network/train_0")
    assert (image.step, image.height, image.width) == (4, 32, 4 * 32)


def test_tone_curves_reach_both_trainings(maps: Path, tmp_path: Path) -> None:
    tone = ToneRecipe(probability=1.0)
    plain, curved = (replace(RECIPE, steps=1, tone=t) for t in (ToneRecipe(), tone))
    first = [
        train_network(fresh(), maps, tmp_path / name, r) for name, r in (("plain", plain), ("curved", curved))
    ]
    assert differences(*first) != []
    features = FeatureRecipe(steps=1, batch=1, crop=32, workers=0, brackets=QUIET)
    made = [
        train_features(maps, tmp_path / name, r)
        for name, r in (("f_plain", features), ("f_curved", replace(features, tone=tone)))
    ]
    assert differences(*made) != []
