"""Defaults of functions and of the command line. Imports nothing, so that help does not wait for torch."""

from __future__ import annotations

WEIGHTS = "default"
"""The packaged weights of the network."""

METHOD = "apnt"
"""How photographs are fused, a name out of ``apnt.methods.METHODS``."""

CURVE = "auto"
"""The camera's response: measured where no file says it."""

LOOK = "local"
"""How a picture is made of radiance, a name out of ``apnt.looks.LOOKS``."""

WHITE_BALANCE = "as-shot"
"""Of the picture."""

SET = "val-v1"
"""The brackets that methods are compared on."""

PROTOCOLS = ("peers", "pu21")
"""What is measured."""

PEAK_LUMINANCE = 4000.0
"""cd/m^2 that radiance 1 is shown at by PU21-PSNR: the display of the example that PU21 is published with."""

REPORT_SCENES = 6
"""How many scenes a report shows with pictures."""

DEMO_FOLDER = "demo"

BENCHMARKS = ("window_match", "patch_swap", "fuse", "methods")
"""What ``apnt bench`` measures."""
