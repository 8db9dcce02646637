"""What the package promises as a package: names, version, what it imports and what it ships."""

from __future__ import annotations

import importlib.metadata
import importlib.resources
import importlib.util
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from PIL.TiffImagePlugin import IFDRational

import apnt
from apnt.data.procedural import procedural_bracket

ROOT = Path(__file__).resolve().parents[1]


def python(code: str) -> str:
    """What ``code`` prints in a fresh interpreter that sees the same apnt as this one."""
    package = str(Path(apnt.__file__).resolve().parents[1])
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path.insert(0, {package!r})\n{code}"],
        capture_output=True, text=True, env=environment, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_version_is_the_installed_one():
    assert importlib.metadata.version("apnt") == apnt.__version__


def test_version_stands_once():
    assert "dynamic" in (ROOT / "pyproject.toml").read_text()
    packaging = (ROOT / "pyproject.toml").read_text() + (ROOT / "setup.py").read_text()
    assert apnt.__version__ not in packaging
    assert f"## [{apnt.__version__}]" in (ROOT / "CHANGELOG.md").read_text()


@pytest.mark.parametrize("name", apnt.__all__)
def test_public_names_resolve(name):
    assert getattr(apnt, name) is not None
    assert name in dir(apnt)


def test_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="'apnt' has no attribute 'nothing'"):
        apnt.nothing  # noqa: B018


def test_fuse_is_the_function_whatever_was_imported_before():
    # A submodule called fuse would take the function's place as soon as anything imports it.
    assert importlib.util.find_spec("apnt.fuse") is None
    importlib.import_module("apnt._fuse")
    assert callable(apnt.fuse)


def test_kernels_are_a_subpackage_alone():
    assert importlib.import_module("apnt.kernels").__name__ == "apnt.kernels"
    site = Path(apnt.__file__).resolve().parents[1]
    if site == ROOT:
        pytest.skip("what is installed can only be seen in an installed package, and this is the source tree")
    (installed,) = importlib.metadata.distributions(name="apnt", path=[str(site)])
    tops = {file.parts[0] for file in installed.files or []}
    assert "apnt" in tops
    assert "kernels" not in tops  # a package of that name exists on the package index


def test_type_hints_are_shipped():
    assert importlib.resources.files("apnt").joinpath("py.typed").is_file()


def test_the_compiled_library_is_shipped():
    from apnt import _ext

    site = Path(apnt.__file__).resolve().parents[1]
    if site == ROOT and not _ext.LOADED:
        pytest.skip(f"this is the source tree: {_ext.MISSING}")
    assert _ext.MISSING is None
    assert _ext.instruction_sets()[0] == "portable"


def test_the_compiled_library_keeps_to_the_stable_abi():
    from apnt import _ext

    if not _ext.LOADED:
        pytest.skip(str(_ext.MISSING))
    if shutil.which("nm") is None:
        pytest.skip("nm of the GNU binutils is not installed")
    listing = subprocess.run(
        ["nm", "--dynamic", "--undefined-only", _ext.LIBRARY], capture_output=True, text=True, check=True
    )
    names = [line.split()[-1].partition("@")[0] for line in listing.stdout.splitlines()]
    torch = [name for name in names if re.search(r"torch|c10|2at\d|caffe", name)]
    assert len(torch) > 10
    # C functions of the stable interface; a mangled name would belong to one version of PyTorch.
    assert [name for name in torch if not re.fullmatch(r"(aoti_)?torch_\w+", name)] == []
    assert [name for name in names if name.startswith("Py")] == []


def test_import_is_light():
    loaded = python("import apnt; print(*sorted(m for m in ('torch', 'cv2', 'numpy') if m in sys.modules))")
    assert loaded.split() == []


def test_help_does_not_wait_for_torch():
    out = python(
        "from typer.testing import CliRunner\n"
        "from apnt.cli import app\n"
        "result = CliRunner().invoke(app, ['--help'])\n"
        "assert result.exit_code == 0, result.output\n"
        "print('fuse' in result.output, *(m for m in ('torch', 'cv2', 'numpy') if m in sys.modules))"
    )
    assert out.split() == ["True"]


def test_every_module_imports_without_torchvision_and_triton():
    out = python(
        "import importlib, pkgutil\n"
        "sys.modules['torchvision'] = sys.modules['triton'] = None\n"
        "import apnt\n"
        "names = [m.name for m in pkgutil.walk_packages(apnt.__path__, 'apnt.')]\n"
        "for name in names: importlib.import_module(name)\n"
        "print(len(names))"
    )
    assert int(out) > 20


def readme_commands() -> list[str]:
    blocks = re.findall(r"```sh\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    lines = [line for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    return [line for line in lines if line.startswith("apnt ")]


@pytest.mark.parametrize("line", readme_commands())
def test_readme_commands_exist_with_their_options(line):
    import typer

    from apnt.cli import app

    group = typer.main.get_command(app)
    name, *arguments = shlex.split(line, comments=True)[1:]
    assert name in group.commands, f"README names 'apnt {name}'"
    known = {"--help"} | {option for parameter in group.commands[name].params for option in parameter.opts}
    used = {a.partition("=")[0] for a in arguments if re.match(r"--?[a-z]", a)}
    assert used <= known, f"README uses {used - known} of 'apnt {name}'"


def test_readme_has_commands_to_check():
    assert len(readme_commands()) >= 5


def test_readme_python_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    bracket = procedural_bracket(0, 96, 128)
    for name, frame, time in zip("abc", bracket.ldr, bracket.times, strict=True):
        picture, exif = Image.fromarray(np.round(frame * 255).astype(np.uint8)), Image.Exif()
        exif.get_ifd(0x8769)[0x829A] = IFDRational(int(time), 400)  # exposure time
        picture.save(tmp_path / f"{name}.jpg", quality=98, exif=exif)
        picture.save(tmp_path / f"{name}.png")
    monkeypatch.chdir(tmp_path)
    found: dict[str, Any] = {}
    exec(code, found)
    assert found["hdr"].shape == found["picture"].shape == (96, 128, 3)
    assert found["moved"].shape == found["source"].shape
    assert (tmp_path / "scene.exr").exists()
    assert Image.open(tmp_path / "scene.jpg").getexif().get_ifd(0x8769)[0x829A] == IFDRational(4, 400)


def test_fusing_does_not_wait_for_the_compiler():
    # torch._dynamo takes as long to import as all of torch.
    out = python(
        "import apnt, sys; apnt.fuse; apnt.APNTFusion.from_pretrained('fast')\n"
        "print('torch' in sys.modules, 'torch._dynamo' in sys.modules)"
    )
    assert out.split() == ["True", "False"]


def test_fusing_loads_nothing_that_it_does_not_use(tmp_path):
    out = python(
        "import numpy as np\n"
        "from PIL import Image\n"
        "from typer.testing import CliRunner\n"
        "from apnt.cli import app\n"
        f"names = [{str(tmp_path)!r} + '/' + k + '.png' for k in 'abc']\n"
        "scene = np.random.default_rng(0).uniform(0.02, 0.9, (32, 40, 3))\n"
        "for k, name in enumerate(names):\n"
        "    light = np.clip(scene * 4**k / 16, 0, 1)\n"
        "    Image.fromarray((255 * light ** (1 / 2.2)).astype('uint8')).save(name)\n"
        f"output = {str(tmp_path)!r} + '/out.exr'\n"
        "arguments = ['fuse', *names, '--stops', '0,2,4', '--weights', 'fast', '-o', output]\n"
        "result = CliRunner().invoke(app, arguments)\n"
        "assert result.exit_code == 0, result.output\n"
        "print(*sorted({name.partition('.')[0] for name in sys.modules}))\n"
        "print(*(name for name in sys.modules if name.startswith('torch._')))"
    )
    packages, ours = (line.split() for line in out.splitlines()[-2:])
    assert "torch" in packages
    heavy = {
        "huggingface_hub",
        "jinja2",
        "matplotlib",
        "onnx",
        "pandas",
        "requests",
        "scipy",
        "sympy",
        "triton",
    }
    assert heavy & set(packages) == set()
    assert {"torch._dynamo", "torch._inductor"} & set(ours) == set()


PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *ROOT.glob("docs/*.md"), *ROOT.glob("*/README.md")]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_pages_name_files_that_exist(page):
    tops = {"apnt", "benchmarks", "configs", "csrc", "docs", "kernels", "tests"}
    text = page.read_text()
    # Without placeholders, such as OP.cpp, and what is built.
    names = re.findall(r"`([\w./-]+/[\w./-]*)`", text)
    named = [name for name in names if not re.search("[A-Z]{2}|^apnt/lib/", name)]
    paths = [ROOT / name for name in named if name.split("/")[0] in tops]
    paths += [ROOT / "apnt" / name for name in named if (ROOT / "apnt" / name.split("/")[0]).is_dir()]
    paths += [page.parent / link for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text)]
    assert not [str(path) for path in paths if not path.exists()]
