"""Which versions made the numbers on a page: the last cell of every notebook."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version

import pandas as pd

__all__ = ["versions_frame"]

_PACKAGES = ("flowperf", "pandas", "numpy", "scipy", "matplotlib", "ipywidgets")


def versions_frame(revision: str | None = None) -> pd.DataFrame:
    """Return what made the numbers.

    Parameters
    ----------
    revision : str, optional
        Klaviyo's API revision (``account.revision``).

    Returns
    -------
    DataFrame
        ``what, version``, both str.
    """
    rows = [("Klaviyo API revision", revision)] if revision else []
    rows.append(("Python", platform.python_version()))
    for name in _PACKAGES:
        try:
            rows.append((name, version(name)))
        except PackageNotFoundError:
            rows.append((name, "not installed as a package"))
    return pd.DataFrame(rows, columns=["what", "version"], dtype="str")
