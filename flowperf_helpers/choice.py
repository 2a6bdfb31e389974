"""A choice of flows that the next notebooks take: text to copy, and a small JSON file."""

from __future__ import annotations

import html
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from flowperf_helpers.errors import ArgumentError, StorageError

__all__ = ["FlowChoice", "read_choice"]


class FlowChoice:
    """Chosen flows as notebook parameters; shows itself as text to copy.

    Parameters
    ----------
    flow_ids : iterable of str
        Repeats count once; the order stays.
    account : str
        Name of the account that the ids belong to.

    Attributes
    ----------
    parameters : dict
        ``{"account": ..., "flow_ids": [...]}``, fit for ``papermill -y`` or a parameters file.
    """

    def __init__(self, flow_ids: Iterable[str], *, account: str) -> None:
        self.parameters: dict[str, Any] = {"account": account, "flow_ids": list(dict.fromkeys(flow_ids))}

    @property
    def text(self) -> str:
        """Lines to paste into a parameters cell."""
        ids = json.dumps(self.parameters["flow_ids"], ensure_ascii=False)
        return f"account = {json.dumps(self.parameters['account'])}\nflow_ids = {ids}"

    def __repr__(self) -> str:
        return self.text

    def _repr_html_(self) -> str:
        number = len(self.parameters["flow_ids"])
        hint = "No flow is chosen, which the next notebooks read as “all flows”:" if not number else (
            f"{number} flow{'' if number == 1 else 's'} chosen. Paste this into the next notebook's parameters cell:"
        )  # fmt: skip
        style = "white-space:pre-wrap;overflow-wrap:anywhere;border:1px solid #C4CAD1;padding:6px 10px;max-width:720px"
        return f'<p>{hint}</p><pre style="{style}" tabindex="0">{html.escape(self.text)}</pre>'

    def save(self, path: str | Path) -> Path | None:
        """Write the parameters as JSON; an empty path writes nothing and returns None.

        Raises
        ------
        StorageError
            The file could not be written.
        """
        if not str(path):
            return None
        target = Path(path).expanduser()
        try:
            target.write_text(json.dumps(self.parameters, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
        except OSError as error:
            raise StorageError(
                f"The choice cannot be written to {target.name} ({error.strerror}).", path=target
            ) from error
        return target


def read_choice(path: str | Path) -> FlowChoice:
    """Read a file that `FlowChoice.save` wrote.

    Raises
    ------
    ArgumentError
        No such file, or another content.
    """
    try:
        kept = json.loads(Path(path).expanduser().read_text(encoding="utf-8"))
        return FlowChoice([str(flow) for flow in kept["flow_ids"]], account=str(kept["account"]))
    except OSError as error:
        raise ArgumentError(f"The choice {Path(path).name} cannot be read ({error.strerror}).") from error
    except (ValueError, KeyError, TypeError) as error:
        raise ArgumentError(f"{Path(path).name} holds no choice of flows: write one with 02_select_flows.") from error
