"""The tags of an account's flows: how an app marks the version of its template."""

from __future__ import annotations

import pandas as pd

from flowperf_helpers.account.discovery import Getter
from flowperf_helpers.frames.resources import included, primary, related_ids

__all__ = ["fetch_flow_tags"]


def fetch_flow_tags(getter: Getter) -> pd.DataFrame:
    """Ask for the tags of all flows, archived ones too.

    Returns
    -------
    DataFrame
        One row per flow × tag: ``flow_id, tag_name`` (str).

    Raises
    ------
    ScopeError
        The key may not read tags (``tags:read``).
    """
    rows = []
    for archived in ("false", "true"):
        pages = getter.get(
            "/api/flows", {"include": "tags", "filter": f"equals(archived,{archived})", "page[size]": "50"}
        )
        names = {tag.id: str(tag.attributes.get("name") or "") for tag in included(pages, "tag")}
        rows += [(flow.id, names.get(tag, "")) for flow in primary(pages) for tag in related_ids(flow, "tags") or ()]
    return pd.DataFrame(rows, columns=["flow_id", "tag_name"], dtype="str")
