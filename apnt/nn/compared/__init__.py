"""The networks that APNT-Fusion is compared with, one file each; :mod:`registry` knows them by name."""
