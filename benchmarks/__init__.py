"""Benchmarks of the ops: parity first, then time and memory beside peers and floors.

Installed as ``apnt.benchmarks``, run by ``apnt bench``.
"""
