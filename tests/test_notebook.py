"""The example notebook runs from top to bottom and shows what it says."""

from __future__ import annotations

from pathlib import Path

import pytest

import apnt

NOTEBOOKS = sorted((Path(__file__).resolve().parents[1] / "docs" / "examples").glob("*.ipynb"))


def test_there_are_notebooks() -> None:
    assert NOTEBOOKS


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_runs(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nbformat, nbclient = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
    package = str(Path(apnt.__file__).resolve().parents[1])
    monkeypatch.setenv("PYTHONPATH", package)  # of the kernel
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path))
    notebook = nbformat.read(path, as_version=4)
    assert not any(cell.get("outputs") for cell in notebook.cells), "outputs are made, not kept"
    nbclient.NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(tmp_path)}}).execute()
    shown = [
        cell.source
        for cell in notebook.cells
        for output in cell.get("outputs", ())
        if "image/png" in output.get("data", {})
    ]
    assert len(shown) == 3
    assert shown[0].endswith("hdr")
    scores = notebook.cells[-1].outputs[-1]["data"]["text/plain"]
    assert "'apnt': 3" in scores or "'apnt': 4" in scores
