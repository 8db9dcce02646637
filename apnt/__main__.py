"""``python -m apnt``, which is how ``torchrun`` starts it."""

from __future__ import annotations

from apnt.cli import app

if __name__ == "__main__":
    app(prog_name="apnt")
