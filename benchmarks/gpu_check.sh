#!/usr/bin/env bash
# Everything that needs an NVIDIA GPU, in one call of under ten minutes and without a network:
#
#   benchmarks/gpu_check.sh [OUT]
#
# in this order, the most telling first, because time may run out: facts about the machine; every kernel once, in
# processes of their own; small parity, full parity; the profiler's table by kernel; benchmarks; streams, graphs and large
# addresses; compute-sanitizer where a probe of it passes; Triton, its benchmarks first. In OUT (default $OUT, or
# build/gpu_check) it leaves summary.txt and log.txt, to which every step is added when it ends, summary.json, and a file
# of JSON lines for each of facts, once, profile, bench and bench-triton, which grows line by line. A step that fails does
# not stop the others; the exit code is 0 only if all passed, 2 if there is no GPU, or no nvcc and no library.
#
# The library may be built elsewhere, and carried here:
#
#   APNT_CUDA=1 TORCH_CUDA_ARCH_LIST=9.0 pip install --no-build-isolation --no-deps --target SITE .
#
#   PYTHON                  the interpreter (python3), 3.11 or later, with PyTorch, numpy, setuptools 77 or later, pytest,
#                           hypothesis, OpenCV and Pillow. With pytest-xdist the tests run side by side.
#   GPU_CHECK_SITE          the folder SITE of a build from elsewhere; empty: it is built here, which takes nvcc
#   GPU_CHECK_SECONDS       for everything (570)
#   GPU_CHECK_STEPS         names of the steps to run, separated by spaces (all)
set -u
cd "$(dirname "$0")/.."

if [[ ${1:-} == -* ]]; then # --help, or no name of a folder
  sed -n '2,/^set -u/{/^#/s/^# \{0,1\}//p}' benchmarks/gpu_check.sh
  [[ $1 == -h || $1 == --help ]]
  exit $((2 * $?))
fi

OUT=${1:-${OUT:-build/gpu_check}}
PYTHON=${PYTHON:-python3}
DEADLINE=$((SECONDS + ${GPU_CHECK_SECONDS:-570}))
mkdir -p "$OUT" && OUT=$(cd "$OUT" && pwd) || exit 2
WORK=$(mktemp -d)
trap 'rm -rf "$WORK"' EXIT
: >"$WORK/steps"
: >"$OUT/summary.txt"
: >"$OUT/log.txt"

stop() {
  echo "gpu_check: $1" | tee "$OUT/summary.txt" >&2
  exit 2
}

SITE=${GPU_CHECK_SITE:-}
# Where toolkits put it, if it is not on PATH.
command -v nvcc >/dev/null || PATH=$PATH:${CUDA_HOME:-/usr/local/cuda}/bin
if [ -n "$SITE" ]; then
  [ -f "$SITE/apnt/lib/libapnt_cuda.so" ] || stop "GPU_CHECK_SITE must hold apnt/lib/libapnt_cuda.so, got $SITE"
else
  command -v nvcc >/dev/null || stop "there is no nvcc on PATH"
fi
CAPABILITY=$("$PYTHON" -c 'import torch; print("%d.%d" % torch.cuda.get_device_capability())' 2>"$WORK/torch.log") ||
  stop "PyTorch finds no NVIDIA GPU: $(tail -n 1 "$WORK/torch.log")"

# step NAME SECONDS COMMAND...: runs it, keeps its output in WORK/NAME.log, and goes on.
step() {
  local name=$1 limit=$2 start=$SECONDS left=$((DEADLINE - SECONDS)) status result
  shift 2
  if [ -n "${GPU_CHECK_STEPS:-}" ] && [[ " $GPU_CHECK_STEPS " != *" $name "* ]]; then return 1; fi
  if [ "$left" -lt 5 ]; then
    printf '%s\tno time left\t0\n' "$name" >>"$WORK/steps"
    printf '%-20s no time left\n' "$name" >>"$OUT/summary.txt"
    echo "gpu_check: $name: no time left"
    return 1
  fi
  [ "$left" -lt "$limit" ] && limit=$left
  timeout --kill-after=5 "$limit" "$@" >"$WORK/$name.log" 2>&1
  status=$?
  case $status in
    0) result=passed ;;
    124 | 137) result="timed out after $limit s" ;;
    *) result="failed with exit code $status" ;;
  esac
  printf '%s\t%s\t%d\n' "$name" "$result" $((SECONDS - start)) >>"$WORK/steps"
  printf '%-20s %s, %d s\n' "$name" "$result" $((SECONDS - start)) >>"$OUT/summary.txt"
  { echo "==== $name: $result"; cat "$WORK/$name.log"; } >>"$OUT/log.txt"
  echo "gpu_check: $name: $result, $((SECONDS - start)) s"
  [ "$status" -eq 0 ] || tail -n 15 "$WORK/$name.log"
  return "$status"
}

# Beside the environment, not in it.
export PYTHONPATH="${SITE:-$WORK/site}${PYTHONPATH:+:$PYTHONPATH}"
export PIP_DISABLE_PIP_VERSION_CHECK=1
export HYPOTHESIS_STORAGE_DIRECTORY="$WORK/hypothesis"
export TRITON_CACHE_DIR="$WORK/triton"
NVCC_BIN=$(nvcc --dryrun -x cu /dev/null 2>&1 | sed -n 's/^#\$ TOP=//p')/bin
SANITIZER=$(command -v compute-sanitizer || echo "$NVCC_BIN/compute-sanitizer")
# -P: the package that was built is tested, not the source tree.
PYTEST=("$PYTHON" -P -m pytest -q -p no:cacheprovider)
# Most of the time of a test goes to the reference on the CPU, and to Triton's compiler.
MANY=()
"$PYTHON" -c 'import xdist' 2>/dev/null && MANY=(-n 8)
OPS=(tests/ops/test_window_match.py tests/ops/test_window_match_tiles.py tests/ops/test_patch_swap.py)
SORTED=tests/ops/test_cuda_on_cpu.py::test_deterministic_gradient_of_patch_swap
CUDA="[cuda and not [cuda-on-cpu"

{
  nvidia-smi
  nvcc --version
  "$PYTHON" -V
  "$PYTHON" -c 'import torch; print("torch", torch.__version__, "CUDA", torch.version.cuda)'
} >"$WORK/machine.txt" 2>&1

if [ -z "$SITE" ]; then
  # What an older build left would get into the package.
  [ -n "${GPU_CHECK_STEPS:-}" ] || rm -rf build/lib* build/bdist*
  step build 240 env APNT_CUDA=1 TORCH_CUDA_ARCH_LIST="$CAPABILITY" \
    "$PYTHON" -m pip install --no-build-isolation --no-deps --no-index --target "$WORK/site" .
fi
step loads 60 "$PYTHON" -P -c '
from apnt import _ext
from apnt.ops import _backend
print(_ext.show_config())
raise SystemExit(_backend.unavailable("cuda"))'
GPU=("$PYTHON" -P benchmarks/gpu_steps.py)
step facts 30 "${GPU[@]}" facts --out "$OUT/facts.jsonl"
step once 120 "${GPU[@]}" once --out "$OUT/once.jsonl"

# Small images that reach every kind of kernel.
SMALL=(tests/ops/test_window_match.py tests/ops/test_window_match_tiles.py tests/ops/test_patch_swap.py "$SORTED" -k
  "$CUDA and (by_hand or ties_are_exact or every_kind_of_tile or deterministic_gradient)")
step parity-small 60 "${PYTEST[@]}" "${SMALL[@]}"
step parity-cuda 150 "${PYTEST[@]}" "${MANY[@]}" "${OPS[@]}" tests/ops/test_fuzz.py "$SORTED" -k "$CUDA"

# Alone on the machine.
step profile 90 "${GPU[@]}" profile --out "$OUT/profile.jsonl"
step bench 60 "${GPU[@]}" bench --out "$OUT/bench.jsonl"
step gpu 90 "${PYTEST[@]}" tests/ops/test_cuda_gpu.py

# Some machines do not let a sanitizer attach. Without PyTorch's pool every tensor has an allocation of its own, whose
# end the tool watches.
PROBE=("$PYTHON" -P benchmarks/gpu_steps.py ask --case swap-float32)
if step sanitizer 40 "$SANITIZER" --tool memcheck --error-exitcode 9 "${PROBE[@]}"; then
  step memcheck 120 env PYTORCH_NO_CUDA_MEMORY_CACHING=1 "$SANITIZER" --tool memcheck --error-exitcode 9 \
    "${PYTEST[@]}" "${SMALL[@]}" &
  step racecheck 120 "$SANITIZER" --tool racecheck --error-exitcode 9 "${PYTEST[@]}" "${SMALL[@]}" &
  wait
fi

# Alone on the machine: which of the two should be the default.
step bench-triton 90 "${GPU[@]}" bench --backend triton --out "$OUT/bench-triton.jsonl"
# Side by side. A kernel of Triton is compiled for every question of the fuzz, so that is a step of its own.
step parity-triton 300 "${PYTEST[@]}" "${MANY[@]}" "${OPS[@]}" tests/kernels/test_triton_kernels.py -k triton &
step fuzz-triton 300 "${PYTEST[@]}" "${MANY[@]}" tests/ops/test_fuzz.py -k triton &
wait

"$PYTHON" - "$WORK" "$OUT" "$CAPABILITY" <<'END'
import json, pathlib, re, sys

work, out, capability = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]), sys.argv[3]
found = []
for line in (work / "steps").read_text().splitlines():
    name, result, seconds = line.split("\t")
    log = work / f"{name}.log"
    text = log.read_text(errors="replace") if log.exists() else ""
    counted = re.findall(r"^(?:=+ )?((?:\d+ \w+,? ?)+) in [\d.]+s", text, re.M)
    # A run of tests that were all left out shows nothing.
    if result == "passed" and counted and "passed" not in counted[-1]:
        result = f"nothing ran: {counted[-1].strip()}"
    found.append({"step": name, "result": result, "seconds": int(seconds), "tests": counted[-1].strip() if counted else None})
passed = bool(found) and all(step["result"] == "passed" for step in found)
machine = (work / "machine.txt").read_text(errors="replace")
summary = {"passed": passed, "capability": capability, "machine": machine, "steps": found}
(out / "summary.json").write_text(json.dumps(summary, indent=1))
lines = [f"{s['step']:<20} {s['result']:<28} {s['seconds']:>4} s  {s['tests'] or ''}" for s in found]
(out / "summary.txt").write_text("\n".join(lines) + "\n")
print(*lines, sep="\n")
raise SystemExit(0 if passed else 1)
END
