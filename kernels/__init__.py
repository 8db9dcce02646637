"""Triton kernels of the ops and of their gradients. Installed as ``apnt.kernels``."""
