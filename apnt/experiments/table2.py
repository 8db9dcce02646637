"""Table II: the full model and six ablations, trained alike and evaluated on the same brackets."""

from __future__ import annotations

import json
import math
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from apnt._fuse import fused_image
from apnt.device import choose_device
from apnt.errors import InputError
from apnt.evaluate.loop import evaluate_brackets
from apnt.evaluate.sets import load_set
from apnt.evaluate.tables import number
from apnt.experiments.output import publish, write_json
from apnt.methods import Options, load_method
from apnt.metrics import PROTOCOL
from apnt.nn import APNTConfig, APNTFusion
from apnt.nn.config import Config
from apnt.train.command import build_network, progress_bar, read_features
from apnt.train.log import FILE as LOG
from apnt.train.network import train_network
from apnt.train.processes import Processes
from apnt.train.recipe import NetworkRecipe, read_recipe
from apnt.train.state import prepare_folder

PLAN = "plan.json"
SCORES = "scores.json"
_MEASURES = ("psnr_mu", "psnr_mu_saturated", "psnr_mu_moving_saturated", "ssim_mu")
_TRIAL = (4, 12)  # steps between which a model is timed


@dataclass(frozen=True)
class Variant:
    """One row of Table II.

    Attributes:
        title: what the table calls it.
        changes: to the full model's configuration.
        paper: its PSNR-mu in the paper, on DeepHDR's 15 test scenes, dB.
    """

    title: str
    changes: dict[str, Any]
    paper: float


VARIANTS = {
    "full": Variant("APNT-Fusion", {}, 43.96),
    "no-ms-hdr": Variant("w/o MS-HDR", {"ms_hdr": False}, 43.11),
    "no-transfer": Variant("w/o NFT", {"transfer": False}, 42.37),
    "one-level": Variant("w/o VGG-L2L3", {"match_levels": (0,)}, 43.68),
    "encoder": Variant("w/o VGG w F_enc", {"match_features": "encoder"}, 43.57),
    "no-motion": Variant("w/o Motion Att.", {"motion_attention": False}, 41.73),
    "no-scale": Variant("w/o Scale Att.", {"scale_attention": False}, 43.35),
}


def run_table2(
    config: Path,
    data: Path,
    out: Path,
    *,
    models: Sequence[str] | None = None,
    steps: int | None = None,
    minutes: float | None = None,
    set_name: str = "val-v1",
    set_data: Path | None = None,
    limit: int | None = None,
    features: str | Path = "default",
    vgg19: Path | None = None,
    device: str | None = None,
) -> dict[str, Any]:
    """Train and evaluate the models that are not done yet, then print the table of all that are.

    All models have the same number of steps, samples and seeds. An interrupted experiment goes on from
    ``out``: models that are done are not touched, and the unfinished one resumes at its last saved state.

    Args:
        config: TOML recipe of the full model.
        data: what training brackets are made from.
        out: folder of the experiment; each model has a folder of its own in it.
        models: keys of ``VARIANTS``; None = all.
        steps: of each model; None takes those of an earlier part, of ``minutes`` or of the recipe.
        minutes: for training the full model; a few steps are timed, and all models get the number of steps
            that fits.
        set_name, set_data: the brackets of the evaluation, see :func:`apnt.evaluate.sets.load_set`.
        limit: only the first so many of them.
        features: matching features, see :func:`apnt.train.command.train_from_recipe`.
        vgg19: VGG19's weights, where the recipe matches with it.
        device: where to train and evaluate; None = CUDA where there is one.

    Returns:
        What ``out/table2.json`` holds.

    Raises:
        InputError: a recipe that is not of the full model, or arguments that cannot be used.
    """
    recipe = read_recipe(config)
    names = list(dict.fromkeys(VARIANTS if models is None else models))
    unknown = [name for name in names if name not in VARIANTS]
    if unknown:
        raise InputError(f"models must be of {', '.join(VARIANTS)}, got {', '.join(unknown)}")
    full = check_full(recipe.model)
    if steps is not None and minutes is not None:
        raise InputError("steps and minutes exclude each other: give one of them")
    for name, value in (("steps", steps), ("minutes", minutes), ("limit", limit)):
        if value is not None and not value > 0:
            raise InputError(f"{name} must be positive, got {value}")
    load_set(set_name, set_data)  # so that an error in the set is found before the training
    console = Console(stderr=True)
    processes = Processes(device=choose_device(device))

    def network_of(model: APNTConfig) -> APNTFusion:
        return build_network(model, recipe.network.seed, lambda: read_features(features), vgg19)

    def steps_in(minutes: float) -> int:
        console.print("Timing a few steps of the full model")
        seconds = _seconds_per_step(network_of(full), data, recipe.network, processes)
        return max(1, round(60 * minutes / seconds))

    prepare_folder(out)
    plan = out / PLAN
    if plan.is_file():
        count = _planned(plan, steps)
    else:
        count = steps_in(minutes) if minutes is not None else steps or recipe.network.steps
        write_json(plan, {"steps": count})
    training = replace(recipe.network, steps=count, minutes=None)
    evaluation = {"set": set_name, "limit": limit}
    for position, name in enumerate(names, 1):
        folder = out / name
        model = replace(full, **VARIANTS[name].changes)
        identity = {"model": asdict(model), "training": asdict(training), "evaluation": evaluation}
        if _read_scores(folder / SCORES, identity) is not None:
            continue
        title = f"{VARIANTS[name].title} ({position} of {len(names)})"
        with progress_bar(console, processes, title) as report:
            weights = train_network(
                network_of(model), data, folder, training, processes=processes, report=report
            )
        scores = _evaluate(weights, set_name, set_data, limit, processes)
        write_json(folder / SCORES, {"identity": identity, **scores})
    return _publish(full, training, evaluation, out)


def _seconds_per_step(
    network: APNTFusion, data: Path, training: NetworkRecipe, processes: Processes
) -> float:
    """Train a network for a few steps in a temporary folder, and read the time of a step from the log."""
    first, last = _TRIAL
    with tempfile.TemporaryDirectory() as folder:
        trial = replace(training, steps=last, minutes=None, log_steps=first)
        train_network(network, data, Path(folder), trial, processes=processes)
        rows = [json.loads(line) for line in (Path(folder) / LOG).read_text().splitlines()]
    times = {row["step"]: row["seconds"] for row in rows if "seconds" in row}
    return float(times[last] - times[first]) / (last - first)


def check_full(model: Config) -> APNTConfig:
    """Refuse a configuration that is an ablation already, or from which an ablation cannot be made."""
    if not isinstance(model, APNTConfig):
        raise InputError(f"config must be of APNT-Fusion for Table II, got {type(model).__name__}")
    plain = APNTConfig()
    for name in ("ms_hdr", "transfer", "match_levels", "motion_attention", "scale_attention"):
        if getattr(model, name) != getattr(plain, name):
            raise InputError(
                f"{name} must be {getattr(plain, name)!r} in the full model, got {getattr(model, name)!r}"
            )
    if model.match_features == "encoder":
        raise InputError("match_features must be 'learned' or 'vgg19' in the full model, got 'encoder'")
    if model.aligned:
        raise InputError(
            "aligned must be False for Table II: without a match, as in 'w/o NFT', nothing is aligned"
        )
    return model


def _planned(plan: Path, steps: int | None) -> int:
    """The number of steps that the experiment began with."""
    try:
        count = int(json.loads(plan.read_text(encoding="utf-8"))["steps"])
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"out must hold an experiment, and {plan} is none: choose another folder") from error
    if steps is not None and steps != count:
        raise InputError(
            f"steps must be those that the experiment began with, {count}, got {steps}: choose another folder"
        )
    return count


def _evaluate(
    weights: Path, set_name: str, set_data: Path | None, limit: int | None, processes: Processes
) -> dict[str, Any]:
    method = load_method("apnt", Options(weights, processes.device))
    brackets, _ = load_set(set_name, set_data)
    table = evaluate_brackets({"apnt": partial(fused_image, method=method)}, islice(brackets, limit))
    return {"scenes": table.scenes, "scores": {key: table.scores["apnt"][key] for key in _MEASURES}}


def _read_scores(path: Path, identity: dict[str, Any] | None = None) -> dict[str, Any] | None:
    """The scores of a model; None where it is not done yet."""
    if not path.is_file():
        return None
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        found = content["identity"]
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"out must hold an experiment, and {path} is none: choose another folder") from error
    if identity is not None and found != json.loads(json.dumps(identity)):
        raise InputError(
            f"out must hold models of this recipe and this evaluation, and {path} is of another: choose "
            "another folder"
        )
    return content


def _publish(
    model: APNTConfig, training: NetworkRecipe, evaluation: dict[str, Any], out: Path
) -> dict[str, Any]:
    """Print and write the table of all models that are done."""
    found = {name: scores for name in VARIANTS if (scores := _read_scores(out / name / SCORES)) is not None}
    models = {name: _compare(name, scores, found.get("full")) for name, scores in found.items()}
    scenes = next(iter(found.values()))["scenes"] if found else []
    notes = [
        f"Ours, dB: {training.steps} steps of {training.batch} brackets of {training.crop} pixels for every "
        f"model, the same samples and seeds, channels {model.channels}, {model.match_features} matching "
        f"features; {len(scenes)} brackets of {evaluation['set']}, also on the saturated and the moving "
        "saturated pixels. ± is the standard error of the mean gap over brackets. One training each: a gap "
        "smaller than what another seed changes means nothing.",
        "Paper: on the 15 test scenes of DeepHDR, fully trained. Compare the gaps, not the levels.",
        f"Protocol: {PROTOCOL}.",
    ]
    above = [m["title"] for name, m in models.items() if name != "full" and m["against_full"] >= 0]
    if above:
        notes.append(f"Not below the full model here: {', '.join(above)}")
    missing = [name for name in VARIANTS if name not in found]
    if missing:
        notes.append(f"Not trained yet: {', '.join(missing)}")
    content = {
        "training": asdict(training), "model": asdict(model), "evaluation": evaluation, "protocol": PROTOCOL,
        "scenes": scenes, "models": models,
    }  # fmt: skip
    # Narrow enough for 80 characters.
    heads = ["model", "paper", "gap", "PSNR-µ", "gap", "±", "sat.", "mov. sat.", "SSIM-µ"]
    rows = [heads, *(_row(name, values) for name, values in models.items())]
    publish(out, "table2", "Table II: ablations", rows, notes, content)
    return content


def _compare(name: str, scores: dict[str, Any], full: dict[str, Any] | None) -> dict[str, Any]:
    """What the table and its file hold of a model; a gap is NaN while the full model is not done."""
    gap, error = (math.nan, math.nan) if full is None else paired(scores, full)
    return {
        "title": VARIANTS[name].title,
        "paper_psnr_mu": VARIANTS[name].paper,
        "means": {key: _mean(scores["scores"][key]) for key in _MEASURES},
        "against_full": gap,
        "standard_error": error,
        "scores": scores["scores"],
    }


def _row(name: str, model: dict[str, Any]) -> list[str]:
    paper = model["paper_psnr_mu"]
    lost = gap = error = ""
    if name != "full":
        lost = number(paper - VARIANTS["full"].paper, sign="+")
        gap, error = number(model["against_full"], sign="+"), number(model["standard_error"])
    *psnr, ssim = model["means"].values()  # in the order of _MEASURES
    whole, *parts = (number(mean) for mean in psnr)
    return [model["title"], number(paper), lost, whole, gap, error, *parts, number(ssim, 4)]


def paired(scores: dict[str, Any], full: dict[str, Any]) -> tuple[float, float]:
    """Mean difference in PSNR-mu to the full model over the same brackets, and its standard error."""
    gaps = np.subtract(scores["scores"]["psnr_mu"], full["scores"]["psnr_mu"])
    spread = float(gaps.std(ddof=1)) if len(gaps) > 1 else math.nan
    return float(gaps.mean()), spread / math.sqrt(len(gaps))


def _mean(values: Sequence[float | None]) -> float:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else math.nan
