"""The packages, and the one mapping that pyproject.toml cannot say: the folder kernels/ is apnt.kernels."""

from setuptools import find_packages, setup

setup(
    packages=[*find_packages(include=["apnt", "apnt.*"]), "apnt.kernels"],
    package_dir={"apnt.kernels": "kernels"},
)
