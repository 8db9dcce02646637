#!/usr/bin/env bash
# One expects: a convolution for which there is too little memory says so, as a tensor does ("can't allocate memory:
# you tried to allocate ... bytes"), or raises torch.OutOfMemoryError, which exists for CUDA.
# What happens: where the first thing that does not fit is the machine code that oneDNN makes for a new shape, it is
# a RuntimeError "could not create a primitive", without a word of memory. Neither error is a MemoryError.
# Why it matters: who catches lack of memory by its words, to try again with smaller tiles or to say it in a sentence,
# shows a traceback instead, and only now and then: it depends on which allocation is the one too many. Of 42 runs
# under `ulimit -v` that ended while a network worked, 15 ended so.
# Remedy: apnt takes these words for a lack of memory, too.
# Seen with torch 2.13.0 on x86-64, 2026-11-30.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.4.6
cd "$work"
venv/bin/python - 2>/dev/null <<'PY'
import os
import resource
from pathlib import Path

import torch
from torch import nn

print("torch", torch.__version__)
torch.set_num_threads(1)
pictures = [torch.randn(1, channels, 64, 64) for channels in (16, 24)]
known, new = (nn.Conv2d(picture.shape[1], 16, 3, padding=1) for picture in pictures)
said = {}
with torch.inference_mode():
    known(pictures[0])
    size = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (size, hard))  # no page more than now
    for name, work in (("a convolution", lambda: new(pictures[1])), ("a tensor", lambda: torch.empty(2**40))):
        try:
            work()
            said[name] = "no error"
        except (RuntimeError, MemoryError) as error:
            said[name] = f"{type(error).__name__}: {error}".splitlines()[0]
    resource.setrlimit(resource.RLIMIT_AS, (hard, hard))
for name, words in said.items():
    print(f"{name}: {words}")
if said["a convolution"] != "RuntimeError: could not create a primitive":
    raise SystemExit("changed: a convolution without memory says something else")
if "can't allocate memory" not in said["a tensor"]:
    raise SystemExit("changed: a tensor without memory says something else")
PY
