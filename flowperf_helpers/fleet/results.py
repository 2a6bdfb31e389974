"""What a fleet's reports leave behind: one row per account, week and flow, as Parquet partitioned by week and account.

::

    OUT/dataset/week=2026-W47/account=acme/part.parquet

Writing the same account and week again replaces the file, so the dataset is the same however often a run is repeated.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from flowperf_helpers.errors import PayloadError
from flowperf_helpers.fleet.files import Target
from flowperf_helpers.report.measures import totals
from flowperf_helpers.report.numbers import WeekNumbers

__all__ = ["COLUMNS", "FleetWeek", "flow_rows", "part_path", "read", "tidied", "to_parquet", "write"]

_COUNTS = (
    "recipients", "delivered", "opens_unique", "clicks_unique", "conversions", "conversion_uniques", "unsubscribes",
    "spam_complaints", "bounced",
)  # fmt: skip
COLUMNS: dict[str, str] = {
    **dict.fromkeys(
        ("account", "week", "flow_id", "flow_name", "flow_type", "template_version", "currency", "timezone"), "str"
    ),
    "recipients": "Int64",
    "delivered": "Int64",
    "opens_unique": "Int64",
    "clicks_unique": "Int64",
    "conversions": "Int64",
    "conversion_uniques": "Int64",
    "conversion_value": "float64",
    "unsubscribes": "Int64",
    "spam_complaints": "Int64",
    "bounced": "Int64",
    "is_final": "bool",
    "sandbox": "bool",
    "made_at": "datetime64[us, UTC]",
}
"""Columns of the dataset and their dtypes; counts are NA where they are not known."""
_TOGETHER = 200
TEMPLATE_TAG = "template-"
_ARROW = {
    "str": pa.string(), "Int64": pa.int64(), "float64": pa.float64(), "bool": pa.bool_(),
    "datetime64[us, UTC]": pa.timestamp("us", tz="UTC"),
}  # fmt: skip
_SCHEMA = pa.schema([(name, _ARROW[dtype]) for name, dtype in COLUMNS.items()])


@dataclass(frozen=True)
class FleetWeek:
    """One week of a fleet, as its index page and its files show it.

    Attributes
    ----------
    week : str
        ISO label.
    accounts : DataFrame
        One row per account, in the order of the file: ``account, status`` (done, kept or failed), ``reason`` (why it
        failed), ``reconnect`` (whether the customer has to give a new key), ``title, currency, timezone, sandbox,
        is_final, requests`` (that its report took), ``sentence`` (what its report finds first), ``report`` (its
        page beside the index; empty where there is none).
    rows : DataFrame
        The result dataset (`COLUMNS`) of these accounts: this week, and the totals of the eleven before it.
    """

    week: str
    accounts: pd.DataFrame
    rows: pd.DataFrame

    @property
    def sandbox(self) -> bool:
        """Whether any of the numbers is invented."""
        return bool(self.accounts["sandbox"].fillna(False).any())


def tidied(frame: pd.DataFrame) -> pd.DataFrame:
    """A frame with exactly `COLUMNS`, in their order and dtypes."""
    made = pd.DataFrame({name: frame[name] for name in COLUMNS}).reset_index(drop=True)
    made["made_at"] = pd.to_datetime(made["made_at"], utc=True)
    return made.astype(COLUMNS)


def flow_rows(numbers: WeekNumbers, facts: pd.DataFrame) -> pd.DataFrame:
    """The rows of one account's week: one per flow that sent, and its total under the empty ``flow_id``.

    Parameters
    ----------
    numbers : WeekNumbers
        Of `flowperf_helpers.report.numbers.compute`.
    facts : DataFrame
        One row per flow: ``flow_id, flow_type`` (name of its trigger metric) and ``template_version`` (its tag that
        begins with ``template-``), empty where there is none.

    Returns
    -------
    DataFrame
        As `COLUMNS`.
    """
    answers = numbers.answers
    counts = [*_COUNTS, "conversion_value"]
    flows = totals(answers.current, ["flow_id"])
    total = totals(answers.current)
    assert flows is not None
    assert total is not None
    known = facts.set_index("flow_id")
    frame = pd.concat([flows, total.assign(flow_id="")], ignore_index=True).reindex(columns=["flow_id", *counts])
    named = {column: frame["flow_id"].map(known[column]).fillna("") for column in ("flow_type", "template_version")}
    return tidied(
        frame.assign(
            **named,
            account=answers.account["name"],
            week=answers.week,
            flow_name=frame["flow_id"].map(numbers.names).fillna(""),
            currency=answers.account["currency"],
            timezone=str(answers.account["timezone"]),
            is_final=numbers.settling.open_days == 0,
            sandbox=bool(answers.account["sandbox"]),
            made_at=answers.now,
        )
    )


def part_path(week: str, account: str) -> str:
    """Place of one account's week inside the output folder."""
    return f"dataset/week={week}/account={account}/part.parquet"


def to_parquet(frame: pd.DataFrame) -> bytes:
    """The bytes of one part."""
    made = io.BytesIO()
    pq.write_table(pa.Table.from_pandas(frame[list(COLUMNS)], schema=_SCHEMA, preserve_index=False), made)
    return made.getvalue()


def write(frame: pd.DataFrame, out: str) -> list[str]:
    """Write rows of any accounts and weeks into the dataset under ``out``, each part in place of what was there.

    Parameters
    ----------
    frame : DataFrame
        As `COLUMNS`.
    out : str
        The output folder of a fleet, or an fsspec address of one.

    Returns
    -------
    list of str
        The parts written, relative to ``out``.

    Raises
    ------
    StorageError
        Full disk, no permission.
    """
    target = Target(out)
    written = []
    for (week, account), rows in tidied(frame).groupby(["week", "account"], sort=False):
        target.put(part_path(str(week), str(account)), to_parquet(rows))
        written.append(part_path(str(week), str(account)))
    return written


def read(
    out: str,
    *,
    weeks: Sequence[str] | None = None,
    accounts: Sequence[str] | None = None,
    only_totals: Sequence[str] = (),
) -> pd.DataFrame:
    """Read the dataset under ``out``, the newest week last.

    Parameters
    ----------
    out : str
        The output folder of a fleet, or an fsspec address of one.
    weeks, accounts : sequence of str, optional
        Only these; other parts are not opened.
    only_totals : sequence of str, optional
        Weeks of which only the accounts' totals are wanted, not the rows of flows.

    Returns
    -------
    DataFrame
        As `COLUMNS`; empty where nothing was written.

    Raises
    ------
    PayloadError
        A part is not what `write` left.
    StorageError
        A part cannot be read.
    """
    target = Target(out)
    parts = []
    for place in target.find("dataset/week=*/account=*/part.parquet"):
        week, account = (step.partition("=")[2] for step in place.split("/")[1:3])
        if (weeks is None or week in weeks) and (accounts is None or account in accounts):
            table = _part(target.get(place) or b"", place)
            parts.append(table.filter(pc.field("flow_id") == "") if week in only_totals else table)
            if len(parts) == _TOGETHER:  # many small tables take many times their rows
                parts = [pa.concat_tables(parts).combine_chunks()]
    if not parts:
        return pd.DataFrame({name: pd.Series(dtype=dtype) for name, dtype in COLUMNS.items()})
    return pa.concat_tables(parts).to_pandas(self_destruct=True, split_blocks=True).astype(COLUMNS)


def _part(content: bytes, place: str) -> pa.Table:
    try:
        table = pq.read_table(io.BytesIO(content))
        return table.select(list(COLUMNS)).replace_schema_metadata().cast(_SCHEMA)
    except (ValueError, KeyError, pa.ArrowException) as error:
        raise PayloadError(
            f"{place} is not a part of a fleet's dataset ({type(error).__name__}): delete it and run that week again.",
            place=place,
        ) from error
