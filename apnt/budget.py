"""How much memory there is, and how much of it a process may take."""

from __future__ import annotations

import os
import re
from pathlib import Path

from apnt.errors import InputError

_UNITS = {"": 1} | {
    prefix + middle: base**power
    for middle, base in (("", 1000), ("i", 1024))
    for power, prefix in enumerate("kmgt", 1)
}
_FORM = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([kmgt]i?)?b?\s*", re.IGNORECASE)
_LEFT = 0.1  # of what is free, for others and for what nobody plans


def parse_bytes(memory: int | float | str) -> int:
    """Bytes of ``2000000000``, ``"2GB"`` (10**9 bytes each), ``"1500 MiB"`` or ``"2g"``.

    Raises:
        InputError: not an amount of memory.
    """
    if isinstance(memory, str):
        found = _FORM.fullmatch(memory)
        amount = None if found is None else float(found[1]) * _UNITS[(found[2] or "").lower()]
    else:
        amount = float(memory) if isinstance(memory, int | float) and not isinstance(memory, bool) else None
    if amount is None or not 0 < amount < 1e18:
        raise InputError(f"memory must be an amount such as 2GB, 1500MiB, or bytes, got {memory!r}")
    return int(amount)


def shown(amount: float) -> str:
    """Bytes in the unit that reads best: ``"1.8 GB"``, ``"320 MB"``."""
    return f"{amount / 1e9:.1f} GB" if amount >= 1e9 else f"{amount / 1e6:.0f} MB"


def too_small(budget: int, needed: float, advice: str) -> InputError:
    """The error that names the smallest budget that works; the advice is the way out."""
    least = shown(needed + 5e6)  # what is shown is rounded
    return InputError(f"memory must be at least {least} for these photographs, got {shown(budget)}: {advice}")


def usual() -> int:
    """What this process may take where nobody says: what it has, and nine tenths of what is free."""
    return resident() + int((1 - _LEFT) * free())


def free() -> int:
    """Bytes that can still be taken: of the machine, and of the control groups that this process is in."""
    rooms = [_room(folder) for folder in _groups()]
    return max(0, min([_available(), *(room for room in rooms if room is not None)]))


def mapped() -> int | None:
    """Bytes of files that this process holds in memory, libraries among them; None where nothing tells."""
    return _in_memory(2)


def resident() -> int:
    """Bytes of this process that lie in memory."""
    found = _in_memory(1)
    if found is None:  # as on macOS: the most that it ever had
        import resource
        import sys

        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return most if sys.platform == "darwin" else most * 1024
    return found


def _in_memory(field: int) -> int | None:
    """A field of /proc/self/statm, in bytes; None where there is none."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[field]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return None


def _available() -> int:
    try:
        found = re.search(r"MemAvailable:\s*(\d+) kB", Path("/proc/meminfo").read_text())
    except OSError:
        found = None
    if found is not None:
        return int(found[1]) * 1024
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2


def _groups() -> list[Path]:
    """Folders of the control groups that limit memory, from this process's own upwards."""
    root, folders = Path("/sys/fs/cgroup"), []
    try:
        lines = Path("/proc/self/cgroup").read_text().splitlines()
    except OSError:
        return []
    for line in lines:
        _, kinds, path = line.split(":", 2)
        if kinds == "":
            base = root
        elif "memory" in kinds.split(","):
            base = root / "memory"
        else:
            continue
        # In a container the path is the host's, and the root is what this process sees of it.
        place = base / path.lstrip("/")
        while place != base and base in place.parents:
            folders.append(place)
            place = place.parent
        folders.append(base)
    return folders


def _room(folder: Path) -> int | None:
    """Bytes below the limit of a control group, cached files among them; None where it has no limit."""
    for most, used, cached in (
        ("memory.max", "memory.current", r"^inactive_file (\d+)"),
        ("memory.limit_in_bytes", "memory.usage_in_bytes", r"^total_inactive_file (\d+)"),
    ):
        try:
            limit = (folder / most).read_text().strip()
            if limit == "max" or int(limit) >= 1 << 60:
                return None
            found = re.search(cached, (folder / "memory.stat").read_text(), re.MULTILINE)
            return int(limit) - int((folder / used).read_text()) + (int(found[1]) if found else 0)
        except (OSError, ValueError):
            continue
    return None
