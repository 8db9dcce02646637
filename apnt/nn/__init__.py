"""The network, one file for each box of the paper's Fig. 1."""

from apnt.nn.apnt import APNTFusion
from apnt.nn.config import APNTConfig

__all__ = ["APNTConfig", "APNTFusion"]
