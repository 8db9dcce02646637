"""How much of an HDR image is lost because nobody says what the camera's curve is: on photographs.

    python benchmarks/real_set.py --data DIR [--weights default|fast] [--crops N]
                                  [--json FILE --markdown FILE] [--pictures DIR]

Test brackets are made of two static brackets of many frames (benchmarks/real_cases.py), with a truth merged
of frames that are no inputs. Each is fused three times: its frames linear by the known response ("known"), as
the camera wrote them with the curve measured on the three frames ("estimated"), and taken for gamma 2.2
("gamma22").

PSNR-mu is of the whole frame. One factor for all pixels and channels is fitted to the truth, for every curve
and method alike: three frames do not tell how far below its white a camera clips, and a factor is no error of
an HDR image. "As it is" is without it.
"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from apnt._fuse import fused_image
from apnt.benchmarks import measure
from apnt.benchmarks.real_cases import (
    PLANS,
    Case,
    Photographs,
    draw_layout,
    make_case,
    read_photographs,
)
from apnt.camera import GAMMA
from apnt.errors import InputError
from apnt.io.files import check_output, write_text
from apnt.methods import Method, Options, load_method
from apnt.metrics import psnr_mu
from apnt.prepare.pipeline import Options as Preparation
from apnt.prepare.pipeline import Prepared, prepare
from apnt.tonemap import mu_law

SEED = 2026
METHODS = ("apnt", "weighted", "align-debevec")
CURVES = ("known", "estimated", "gamma22")
TARGET = 1.5
"""dB that the estimated curve may lose against the known one."""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--data", type=Path, default=os.environ.get("APNT_DATA"), help="folder with brackets/"
    )
    parser.add_argument("--weights", default="default", help="of the network")
    parser.add_argument("--crops", type=int, default=99, help="at most so many of each plan")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--markdown", type=Path)
    parser.add_argument("--pictures", type=Path, help="folder for one picture a case")
    options = parser.parse_args()
    if options.data is None:
        parser.error("name the folder with brackets/: --data or APNT_DATA")
    for name, suffix in (("json", ".json"), ("markdown", ".md")):
        if getattr(options, name):
            check_output(getattr(options, name), (suffix,), name=name)
    torch.set_num_threads(options.threads)
    cv2.setNumThreads(options.threads)
    methods = {name: load_method(name, Options(options.weights, "cpu")) for name in METHODS}
    found = measured(options.data / "brackets", methods, options.crops, options.pictures)
    found = {"machine": measure.machine(torch.device("cpu")), "weights": options.weights, **found}
    text = as_markdown(found, {name: method.title for name, method in methods.items()})
    print(text)
    if options.json:
        write_text(options.json, json.dumps(rounded(found), indent=1) + "\n")
    if options.markdown:
        write_text(options.markdown, text)


def measured(
    folder: Path, methods: dict[str, Method], crops: int, pictures: Path | None = None
) -> dict[str, Any]:
    """Every case by every curve and method, and what is known of the cameras."""
    cameras, cases = {}, []
    for name, plans in PLANS.items():
        photographs = read_photographs(folder / name)
        cameras[name] = camera(photographs)
        for number, plan in enumerate(plans):
            for crop in range(min(crops, len(plan.crops))):
                rng = np.random.default_rng([SEED, number, crop])
                layout = draw_layout(photographs, plan, crop, rng)
                case = make_case(photographs, plan, layout, f"{name} {number + 1}.{crop + 1}")
                row, results = scored(case, methods)
                row["inputs"] = plan.inputs
                cases.append(row)
                print(f"{case.name}: {row['psnr_mu']['apnt']}", flush=True)
                if pictures:
                    draw(pictures, case, results)
    return {"cameras": cameras, "cases": cases}


def camera(photographs: Photographs) -> dict[str, Any]:
    """The response from all frames, and how exact the exposures are."""
    estimate = photographs.estimate
    return {
        "frames": len(photographs.values),
        "response": estimate.response.name,
        "expected error": estimate.error,
        "agreement": estimate.agreement,
        "levels": estimate.levels.tolist(),
        "stops off": np.log2(estimate.gains).round(3).tolist(),
    }


def scored(case: Case, methods: dict[str, Method]) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """All figures of one case, and the images of the first method."""
    row: dict[str, Any] = {
        "name": case.name,
        "size": case.truth.shape[:2],
        "truth repeated": fitted(*case.repeated)[0],
        "psnr_mu": {name: {} for name in methods},
        "as it is": {name: {} for name in methods},
        "moving": {name: {} for name in methods},
        "factor": {name: {} for name in methods},
        "prepared": {},
    }
    images = {}
    for curve in CURVES:
        try:
            prepared = prepare_case(case, curve)
        except InputError as error:
            row["prepared"][curve] = {"refused": str(error)}
            continue
        report = prepared.report
        row["prepared"][curve] = {
            "curve": report.curve,
            "expected error": report.curve_error,
            "corrections": report.corrections,
            "warnings": report.warnings,
        }
        for name, method in methods.items():
            image = np.clip(fused_image(prepared.bracket, method), 0, 1)
            best, factor = fitted(image, case.truth)
            row["psnr_mu"][name][curve] = best
            row["factor"][name][curve] = factor
            row["as it is"][name][curve] = psnr_mu(image, case.truth)
            scaled = np.minimum(image * np.float32(factor), 1)
            row["moving"][name][curve] = psnr_mu(scaled, case.truth, case.moving)
            if name == next(iter(methods)):
                images[curve] = scaled
    return row, images


def prepare_case(case: Case, curve: str) -> Prepared:
    """The three frames as ``apnt fuse`` prepares them."""
    if curve == "known":
        return prepare(list(case.known), list(case.known_times), options=Preparation("gamma22"))
    chosen = "auto" if curve == "estimated" else curve
    return prepare(list(case.written), list(case.times), options=Preparation(chosen))


def fitted(image: np.ndarray, truth: np.ndarray) -> tuple[float, float]:
    """PSNR-mu with the one factor on ``image`` that makes it largest, and that factor: within 1.5 stops."""

    def score(stops: float, step: int = 1) -> float:
        scaled = np.minimum(image[::step, ::step] * np.float32(2**stops), 1)
        return psnr_mu(scaled, truth[::step, ::step])

    best = max(np.linspace(-1.5, 1.5, 31), key=lambda stops: score(stops, 3))
    best = max(best + np.linspace(-0.1, 0.1, 21), key=lambda stops: score(stops, 3))
    return score(best), float(2**best)


def mean(cases: list[dict[str, Any]], method: str, curve: str, figure: str = "psnr_mu") -> float:
    """Of the cases that were not refused; NaN without any."""
    values = [case[figure][method][curve] for case in cases if curve in case[figure][method]]
    return float(np.mean(values)) if values else float("nan")


def as_markdown(found: dict[str, Any], titles: dict[str, str]) -> str:
    """The results file."""
    cases, first = found["cases"], next(iter(titles))
    lines = [
        "# Photographs as cameras write them",
        "",
        "`python benchmarks/real_set.py`; docs/photographs.md says how the set is made. "
        + ", ".join(f"{name} {value}" for name, value in found["machine"].items())
        + f"; weights {found['weights']}.",
        "",
        f"PSNR-µ in dB, one factor fitted, mean of {len(cases)} cases; in parentheses as it is.",
        "",
        "| method | " + " | ".join(CURVES) + " | estimated - known | gamma22 - known |",
        "| --- |" + " ---: |" * (len(CURVES) + 2),
    ]
    for name, title in titles.items():
        values = {curve: mean(cases, name, curve) for curve in CURVES}
        plain = {curve: mean(cases, name, curve, "as it is") for curve in CURVES}
        cells = [f"{values[curve]:.2f} ({plain[curve]:.2f})" for curve in CURVES]
        cells += [f"{values[curve] - values['known']:+.2f}" for curve in CURVES[1:]]
        lines.append(f"| {title} | " + " | ".join(cells) + " |")
    lines += [
        "",
        f"Target: {titles[first]} loses at most {TARGET:g} dB by the estimated curve.",
        *_target_lines(cases, first),
        "",
        f"Each case, {titles[first]}; moving: where the object is in any frame; repeated: the truth of "
        "every other of its frames against that of the rest.",
        "",
        "| case | frames | " + " | ".join(CURVES) + " | moving, estimated | factor, estimated | repeated |",
        "| --- | --- |" + " ---: |" * (len(CURVES) + 3),
    ]
    lines += [_case_line(case, first) for case in cases]
    lines += ["", "| bracket | frames | response | expected error | pairs that agree |"]
    lines += ["| --- | ---: | --- | ---: | ---: |"]
    lines += [
        f"| {name} | {c['frames']} | {c['response']} | {c['expected error']:.1%} | {c['agreement']:.0%} |"
        for name, c in found["cameras"].items()
    ]
    return "\n".join([*lines, ""])


def has_curve(case: dict[str, Any]) -> bool:
    """Whether its frames told a curve: where they do not, a warning says which one is assumed."""
    return not any("curve is assumed" in w for w in case["prepared"]["estimated"].get("warnings", ()))


def _target_lines(cases: list[dict[str, Any]], method: str) -> list[str]:
    """What is lost in all cases, and in those whose frames told a curve."""
    told = [case for case in cases if has_curve(case)]
    lines = []
    for what, chosen in (("all cases", cases), ("those whose frames tell a curve", told)):
        if chosen:
            lost = [mean([case], method, "known") - mean([case], method, "estimated") for case in chosen]
            verdict = "met" if np.mean(lost) <= TARGET else "**missed**"
            lines.append(
                f"- {what} ({len(chosen)}): {np.mean(lost):.2f} dB in the mean, {verdict}; "
                f"{min(lost):.2f} to {max(lost):.2f} dB in a single one"
            )
    return lines


def _case_line(case: dict[str, Any], method: str) -> str:
    figures = [case["psnr_mu"][method].get(curve) for curve in CURVES]
    figures += [case["moving"][method].get("estimated"), case["factor"][method].get("estimated")]
    cells = [
        "refused" if figure is None else f"{figure:.2f}" for figure in [*figures, case["truth repeated"]]
    ]
    return f"| {case['name']} | {', '.join(map(str, case['inputs']))} | " + " | ".join(cells) + " |"


def rounded(content: Any) -> Any:
    """Floats to four decimals: more would say nothing, and change with the machine."""
    if isinstance(content, dict):
        return {key: rounded(value) for key, value in content.items()}
    if isinstance(content, (list, tuple)):
        return [rounded(value) for value in content]
    return round(content, 4) if isinstance(content, float) else content


def draw(folder: Path, case: Case, results: dict[str, np.ndarray]) -> None:
    """The frames as written; below them truth and results, tone mapped; and what these are off by."""
    folder.mkdir(parents=True, exist_ok=True)
    top = [frame / np.float32(255) for frame in case.written] + [case.known[1]]
    images = {"truth": case.truth, **results}
    middle = [_shown(image, case.truth) for image in images.values()]
    bottom = [np.clip(0.5 + 4 * (mu_law(image) - mu_law(case.truth)), 0, 1) for image in images.values()]
    rows = [np.hstack([*row, *[np.zeros_like(row[0])] * (4 - len(row))]) for row in (top, middle, bottom)]
    picture = np.round(np.vstack(rows) * 255).astype(np.uint8)
    cv2.imwrite(str(folder / f"{case.name.replace(' ', '_')}.png"), picture[..., ::-1])


def _shown(image: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Bright enough to see, by the truth's median."""
    gain = 0.2 / max(float(np.median(truth)), 1e-4)
    light = image * gain
    return np.asarray((light / (1 + light)) ** np.float32(1 / GAMMA))


if __name__ == "__main__":
    main()
