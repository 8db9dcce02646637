"""Global alignment of frames of different exposures; :mod:`apnt.prepare.alignment.align` is its entrance."""
