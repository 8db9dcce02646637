"""Examples of every command, shown at the end of its help."""

from __future__ import annotations

EXAMPLES: dict[str, tuple[str, ...]] = {
    "fuse": (
        "apnt fuse a.jpg b.jpg c.jpg -o scene.exr",
        "apnt fuse photographs/ -o scene.exr --look filmic --exposure 0.5",
        "apnt fuse a.png b.png c.png -o scene.hdr --stops '0,?,6'",
    ),
    "batch": (
        "apnt batch DCIM/ --dry-run",
        "apnt batch DCIM/ -o fused/",
        "apnt batch DCIM/ --dry-run --json > groups.jsonl",
        "apnt batch DCIM/ -o fused/ --groups groups.jsonl",
        "apnt batch 'DCIM/*/IMG_*.CR3' -o fused/ --format .tif --json",
        "apnt batch DCIM/ -o fused/ --engine ray --ray-address 10.0.0.1:6379",
    ),
    "response": (
        "apnt response bracket1/ bracket2/ -o camera.toml",
        "apnt fuse a.jpg b.jpg c.jpg -o scene.exr --curve camera.toml",
    ),
    "info": ("apnt info", "apnt info --json"),
    "evaluate": (
        "apnt evaluate --set procedural --html report.html",
        "apnt evaluate --set val-v1 --data hdr/val --weights default --weights fast",
    ),
    "train": ("apnt train --config configs/default.toml --data radiance_maps --out runs/mine",),
    "export": (
        "apnt export default -o default.pt2",
        "apnt export fast -o fast.pt2 --format aoti --precision bf16",
        "apnt export fast -o fast.onnx --format onnx",
    ),
    "demo": ("apnt demo --out demo",),
    "bench": ("apnt bench --only fuse", "apnt bench --json bench.json --markdown bench.md"),
    "ui": ("apnt ui", "apnt ui --port 7861 --no-browser"),
    "experiment table1": ("apnt experiment table1 --out runs/table1",),
    "experiment table2": (
        "apnt experiment table2 --config configs/table2.toml --data radiance_maps --out runs/table2",
    ),
    "experiment fig5": ("apnt experiment fig5 --out runs/fig5 --set procedural",),
    "experiment fig6": ("apnt experiment fig6 --out runs/fig6 photographs/ --width 480",),
    "experiment fig7": ("apnt experiment fig7 --out runs/fig7 --set procedural --limit 2",),
    "experiment fig8": ("apnt experiment fig8 --out runs/fig8 --set procedural",),
    "data validate": ("apnt data validate path/to/DeepHDR", "apnt data validate path/to/download --json"),
}
"""Command -> lines as they are typed."""

EXIT_CODES = (
    "Exit codes, of every command: **0** all is done; **1** something failed, or a check did not pass; "
    "**2** input or options that you can correct, before any work; **128 + n** ended by signal n, such as "
    "130 for Ctrl-C."
)


def epilog(command: str) -> str:
    """The end of a command's help, in Markdown."""
    lines = "\n\n".join(f"`{line}`" for line in EXAMPLES[command])
    return f"**Examples**\n\n{lines}"
