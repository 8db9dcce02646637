"""A page on this machine for people who do not type: photographs in, result, report and files out."""
