"""The systems that the network is compared with, one file each, one protocol.

Each is a function from a :class:`~apnt.data.bracket.Bracket` to (H, W, 3) float32 linear radiance in [0, 1],
where 1 is the short exposure's saturation, at the medium frame's moment. None of them looks at the truth.
"""
