"""Triton kernels of the ops, one file per op. Installed as ``apnt.kernels``."""
