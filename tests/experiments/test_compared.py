"""Table I and the figures of pictures: what they compare, write and refuse."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from apnt.bracket import Bracket
from apnt.cli import app
from apnt.data.procedural import procedural_bracket
from apnt.errors import InputError
from apnt.evaluate import sets
from apnt.evaluate.command import evaluate_set
from apnt.experiments import grid, table1
from apnt.experiments.choose import radiance_methods, with_weights
from apnt.methods import METHODS, load_methods
from apnt.methods.several import share
from apnt.metrics_mef import mef_ssim
from apnt.nn.compared.registry import NETWORKS, build, network_config, read_network


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a set of two small brackets."""

    def load(data: str | Path | None) -> tuple[Iterable[Bracket], int]:
        brackets = (procedural_bracket(seed, 64, 80) for seed in range(2))
        return (replace(b, name=f"room_{seed}") for seed, b in enumerate(brackets)), 2

    monkeypatch.setitem(sets.SETS, "tiny", load)
    return "tiny"


@pytest.fixture
def yan19(tmp_path: Path) -> str:
    path = tmp_path / "yan19.safetensors"
    build(network_config({"network": "yan19", "channels": 4, "growth": 2})).save(path)
    return str(path)


def test_the_papers_figures():
    assert table1.PAPER == {
        "wu18": (41.65, 40.88, 0.9860, 0.9858), "kalantari17": (42.67, 41.22, 0.9877, 0.9845),
        "yan19": (43.61, 41.13, 0.9922, 0.9896), "apnt": (43.96, 41.69, 0.9957, 0.9914),
    }  # fmt: skip


def test_table1_of_several_sets(tiny, yan19, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sets.SETS, "twin", sets.SETS[tiny])
    content = table1.run_table1(
        tmp_path / "t1", sets=[tiny, "twin"], methods=["medium", "sen12", "yan19"], weights=[yan19], limit=1
    )
    assert list(content["sets"]) == ["tiny", "twin"]
    assert content["sets"]["tiny"]["means"] == content["sets"]["twin"]["means"]
    assert list(content["sets"]["tiny"]["means"]) == ["medium", "sen12", "yan19"]
    page = (tmp_path / "t1" / "table1.md").read_text()
    assert "| Yan 2019, the paper's | 43.61 | 41.13 | 0.9922 | 0.9896 | - | - |" in page
    mean = content["sets"]["tiny"]["means"]["sen12"]["psnr_mu"]
    assert f"| Sen 2012 style | {mean:.2f} |" in page
    assert "1.8 dB" in page
    written = json.loads((tmp_path / "t1" / "table1.json").read_text())
    assert written["methods"]["yan19"]["weights"] == yan19
    assert "Sen 2012 style" in capsys.readouterr().out


def test_networks_without_weights_are_left_out_and_named(yan19):
    loaded, sentence = radiance_methods(None, [yan19], "cpu", "fp32")
    without = [name for name in NETWORKS if name not in loaded]
    assert "yan19" not in without
    assert set(loaded) | set(without) == {name for name, e in METHODS.items() if e.kind == "radiance"}
    for name in without:
        assert METHODS[name].title in sentence
        assert name in sentence
    with pytest.raises(InputError, match="methods must make radiance, and li20 makes a picture"):
        radiance_methods(["medium", "li20"], ["default"], "cpu", "fp32")


def test_published_weights_find_their_network_among_several(tmp_path):
    widths = [(100, 18, 7), (100, 100, 5), (50, 100, 3), (9, 50, 1)]
    arrays = {f"layers.{k}.weight": np.zeros((o, i, n, n), np.float32) for k, (o, i, n) in enumerate(widths)}
    arrays |= {f"layers.{k}.bias": np.zeros(o, np.float32) for k, (o, _, _) in enumerate(widths)}
    path = str(tmp_path / "published.npz")
    np.savez(path, **arrays)
    assert share(["yan19", "kalantari17", "apnt"], [path])["kalantari17"] == [path]
    assert "kalantari17" in with_weights(["kalantari17", "apnt"], [path])[0]
    with pytest.raises(InputError, match=r"weights must be of yan19, and .* holds those of kalantari17"):
        read_network("yan19", Path(path))
    del arrays["layers.2.bias"]
    np.savez(path, **arrays)
    with pytest.raises(InputError, match=r"must fit kalantari17 as it was published; .* 'layers\.2\.bias'"):
        read_network("kalantari17", Path(path))


def test_a_figure_leaves_out_networks_without_weights(tiny, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(grid.FIGURES, "fig5", grid.Figure(("kalantari17", "weighted"), "two"))
    assert len(grid.run_grid("fig5", tmp_path, set_name=tiny, width=100, limit=1)) == 1
    content = json.loads((tmp_path / "fig5.json").read_text())
    assert list(content["methods"]) == ["weighted"]
    assert "Left out for want of weights: Kalantari 2017." in content["notes"][0]
    assert "Kalantari 2017" in capsys.readouterr().err
    with pytest.raises(InputError, match="weights of kalantari17 must be given"):  # named, it is not left out
        grid.run_grid("fig5", tmp_path, set_name=tiny, methods=["kalantari17"])


def test_mef_ssim_of_display_methods_in_evaluate(tiny, tmp_path, capsys):
    evaluate_set(
        tiny,
        methods=["medium", "mertens", "li20"],
        json_path=tmp_path / "a.json",
        markdown_path=tmp_path / "a.md",
    )
    printed = " ".join(capsys.readouterr().out.split())
    assert "marks down a picture without ghosts" in printed
    found = json.loads((tmp_path / "a.json").read_text())["mef_ssim"]
    bracket = procedural_bracket(0, 64, 80)
    picture = load_methods(["mertens"])["mertens"].fuse(bracket)
    assert found["scores"]["mertens"][0] == pytest.approx(mef_ssim(picture, bracket.ldr))
    assert list(found["means"]) == ["mertens", "li20"]
    assert f"| Li 2020 | {found['means']['li20']:.4f} |" in (tmp_path / "a.md").read_text()
    evaluate_set(tiny, methods=["medium"], json_path=tmp_path / "b.json")
    assert "mef_ssim" not in json.loads((tmp_path / "b.json").read_text())
    assert "MEF-SSIM" not in capsys.readouterr().out


@pytest.mark.parametrize("name", ["fig5", "fig6", "fig8"])
def test_a_figure_of_a_set(name, tiny, tmp_path):
    methods = ["mertens", "weighted"]  # one of each kind, none with weights
    paths = grid.run_grid(name, tmp_path, set_name=tiny, methods=methods, width=100, limit=1)
    assert [path.name for path in paths] == [f"{name}_room_0.jpg"]
    picture = cv2.imread(str(paths[0]))
    assert picture.shape[1] == 4 * 106  # reference frame, two methods, truth
    content = json.loads((tmp_path / f"{name}.json").read_text())
    assert list(content["methods"]) == methods
    first, second = content["brackets"][0]["boxes"]
    assert abs(first[0] - second[0]) >= first[2] or abs(first[1] - second[1]) >= first[2]


def test_the_figures_compare_what_the_paper_does():
    assert grid.FIGURES["fig5"].methods == ("kalantari17", "yan19", "apnt")
    assert grid.FIGURES["fig6"].methods == ("mertens", "gu12", "shen14", "li21", "apnt")
    assert grid.FIGURES["fig8"].methods == ("li21", "apnt")


def test_squares_show_what_they_mark():
    bracket = Bracket("plain", np.zeros((3, 60, 90, 3), np.float32), np.array([1.0, 4, 16]))
    result = np.zeros((60, 90, 3), np.float32)
    result[20:30, 40:50] = (0, 1, 0)
    methods = load_methods(["mertens"])
    picture = grid.draw(bracket, {"mertens": result}, methods, [(40, 20, 10)], 90)
    column = picture[:, 96:186]  # the second of two, behind a gap of 6
    enlarged = column[22 + 60 + 6 + 10 : 22 + 60 + 6 + 80, 10:80]  # below title, picture and gap
    assert (enlarged == (0, 255, 0)).all()


def test_squares_are_where_the_methods_differ():
    one, other = np.zeros((100, 120, 3), np.uint8), np.zeros((100, 120, 3), np.uint8)
    other[70:80, 90:100] = 255
    left, top, side = grid._places([one, other])[0]
    assert left <= 90
    assert left + side >= 100
    assert top <= 70
    assert top + side >= 80


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"boxes": [(70, 0, 20)]},
            "boxes must lie inside room_0, 80 x 64 pixels, got left 70",
        ),
        ({"boxes": [(0, 0, 8)] * 3}, "boxes must be at most 2, got 3"),
        ({"limit": 0}, "limit must be at least 1, got 0"),
        ({"width": 10}, "width must be from 64 to 2000 pixels, got 10"),
    ],
)
def test_figures_refuse(options, message, tiny, tmp_path):
    with pytest.raises(InputError, match=message):
        grid.run_grid("fig8", tmp_path, set_name=tiny, methods=["medium"], **options)


def test_the_commands(tiny, yan19, tmp_path):
    bracket = procedural_bracket(0, 64, 80)
    folder = tmp_path / "bracket"
    folder.mkdir()
    for k, frame in enumerate(bracket.ldr):
        cv2.imwrite(str(folder / f"{k}.png"), np.round(255 * frame[..., ::-1]).astype(np.uint8))
    about = {"files_short_to_long": ["0.png", "1.png", "2.png"], "ev_stops": [0, 2, 4]}
    (folder / "bracket.json").write_text(json.dumps(about))
    run = CliRunner().invoke
    figure = ["experiment", "fig5", str(folder), "--out", str(tmp_path / "f"), "--methods", "medium,yan19"]
    done = run(app, [*figure, "--weights", yan19, "--box", "10,10,20", "--width", "96"])
    assert done.exit_code == 0, done.output
    assert (tmp_path / "f" / "fig5_bracket.jpg").is_file()
    done = run(app, [*figure, "--box", "1,2"])
    assert done.exit_code == 2
    assert "--box must be LEFT,TOP,SIDE" in done.output
    done = run(app, ["experiment", "fig5", "--out", str(tmp_path / "g"), "--set", tiny])
    assert done.exit_code == 0, done.output  # the example of its help
    assert "Left out for want of weights: Kalantari 2017, Yan 2019." in " ".join(done.stderr.split())
    table = ["experiment", "table1", "--sets", tiny, "--methods", "medium", "--out", str(tmp_path / "t")]
    assert run(app, table).exit_code == 0
    assert (tmp_path / "t" / "table1.md").is_file()
