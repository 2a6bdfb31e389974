"""What a fleet's reports leave behind: its output folder, and in it the dataset, one row per account, week and flow.

The folder is local or any fsspec address, and a reader sees the old file or the new one, never half of one. The dataset
is Parquet partitioned by week and account.

::

    OUT/dataset/week=2026-W47/account=acme/part.parquet

Writing the same account and week again replaces the file, so the dataset is the same however often a run is repeated.
"""

from __future__ import annotations

import contextlib
import io
import os
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from flowperf_helpers.errors import PayloadError, ScopeError, StorageError
from flowperf_helpers.report.measures import totals
from flowperf_helpers.report.numbers import WeekNumbers
from flowperf_helpers.report.run.delivery import filesystem_of, is_address

if TYPE_CHECKING:
    from flowperf_helpers.account.account import Account

__all__ = ["COLUMNS", "COUNTS", "Target", "flow_rows", "part_path", "read", "tidied", "to_parquet", "week_facts"]

COLUMNS: dict[str, str] = {
    **dict.fromkeys(
        ("account", "week", "flow_id", "flow_name", "flow_type", "template_version", "currency", "timezone"), "str"
    ),
    **dict.fromkeys(
        ("recipients", "delivered", "opens_unique", "clicks_unique", "conversions", "conversion_uniques"), "Int64"
    ),
    "conversion_value": "float64",
    **dict.fromkeys(("unsubscribes", "spam_complaints", "bounced"), "Int64"),
    "is_final": "bool",
    "sandbox": "bool",
    "made_at": "datetime64[us, UTC]",
}
"""Columns of the dataset and their dtypes; counts are NA where they are not known."""
COUNTS = tuple(name for name, dtype in COLUMNS.items() if dtype == "Int64")
_TOGETHER = 200
TEMPLATE_TAG = "template-"
_ARROW = {
    "str": pa.string(), "Int64": pa.int64(), "float64": pa.float64(), "bool": pa.bool_(),
    "datetime64[us, UTC]": pa.timestamp("us", tz="UTC"),
}  # fmt: skip
_SCHEMA = pa.schema([(name, _ARROW[dtype]) for name, dtype in COLUMNS.items()])


# -- the output folder -----------------------------------------------------------------------------------------------


class Target:
    """Where a fleet's files go.

    Parameters
    ----------
    out : str or Path
        A folder, made where it is missing, or an fsspec address of one.

    Raises
    ------
    ArgumentError
        An address that nothing here can write to.
    StorageError
        From the methods: full disk, no permission, an address that does not answer.
    """

    def __init__(self, out: str | Path) -> None:
        self.out = str(out)
        self.is_local = not is_address(out)
        self._files, root = filesystem_of(out)
        self.root = root.rstrip("/")

    def put(self, place: str, content: bytes) -> int:
        """Write one file whole or not at all, in place of what was there; return its size."""
        with self._named(
            f"{place} could not be written into {self.out}",
            "free some space, or give another --out, and run it again: what is done is kept",
        ):
            if self.is_local:
                _replace(Path(self.root, place), content)
            else:  # an object store shows an object only when it is whole
                self._files.makedirs(f"{self.root}/{place}".rpartition("/")[0], exist_ok=True)
                self._files.pipe_file(f"{self.root}/{place}", content)
        return len(content)

    def get(self, place: str) -> bytes | None:
        """Return a file's content, None where there is none."""
        content = None
        failure = f"{place} could not be read from {self.out}"
        with self._named(failure, "check the place and its permissions"), contextlib.suppress(FileNotFoundError):
            content = bytes(self._files.cat_file(f"{self.root}/{place}"))
        return content

    def find(self, pattern: str) -> list[str]:
        """Return the places that fit a pattern with ``*``, sorted."""
        with self._named(f"{self.out} could not be listed", "check the place and its permissions"):
            found = self._files.glob(f"{self.root}/{pattern}")
        root = str(self._files._strip_protocol(self.root)).rstrip("/")
        return sorted(str(path).removeprefix(root).lstrip("/") for path in found)

    @contextlib.contextmanager
    def _named(self, what: str, advice: str) -> Iterator[None]:
        """Make a sentence of whatever goes wrong in the block."""
        try:
            yield
        except Exception as error:  # an address's library raises whatever it likes
            reason = (error.strerror if isinstance(error, OSError) else None) or type(error).__name__
            raise StorageError(f"{what} ({reason}): {advice}.", path=self.out) from error


def _replace(final: Path, content: bytes) -> None:
    """Write a neighbour, then let it take the name."""
    final.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=final.parent, prefix=".flowperf-", suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        os.chmod(name, 0o644)
        os.replace(name, final)
    except OSError:
        with contextlib.suppress(OSError):
            os.unlink(name)
        raise


# -- the dataset -----------------------------------------------------------------------------------------------------


def tidied(frame: pd.DataFrame) -> pd.DataFrame:
    """A frame with exactly `COLUMNS`, in their order and dtypes."""
    made = pd.DataFrame({name: frame[name] for name in COLUMNS}).reset_index(drop=True)
    made["made_at"] = pd.to_datetime(made["made_at"], utc=True)
    return made.astype(COLUMNS)


def week_facts(account: Account) -> pd.DataFrame:
    """Return what the dataset says of every flow besides its numbers.

    Returns
    -------
    DataFrame
        One row per flow: ``flow_id, flow_type`` (name of the first metric that triggers it) and ``template_version``
        (its tag that begins with ``template-``), empty where there is none or the key may not know.
    """
    metrics = account.metrics()
    triggers = account.flows_triggered_by(list(metrics["metric_id"])).drop_duplicates("flow_id")
    types = triggers.set_index("flow_id")["metric_id"].map(metrics.set_index("metric_id")["metric_name"])
    try:
        tags = account.flow_tags()
    except ScopeError:
        tags = pd.DataFrame(columns=["flow_id", "tag_name"], dtype="str")
    tags = tags[tags["tag_name"].str.startswith(TEMPLATE_TAG)].sort_values("tag_name")
    versions = tags.drop_duplicates("flow_id", keep="last").set_index("flow_id")["tag_name"]
    flow_ids = account.flows()["flow_id"]
    return pd.DataFrame(
        {
            "flow_id": flow_ids,
            "flow_type": flow_ids.map(types).fillna("").astype("str"),
            "template_version": flow_ids.map(versions).fillna("").astype("str"),
        }
    )


def flow_rows(numbers: WeekNumbers, facts: pd.DataFrame) -> pd.DataFrame:
    """The rows of one account's week: one per flow that sent, and its total under the empty ``flow_id``.

    Parameters
    ----------
    numbers : WeekNumbers
        Of `flowperf_helpers.report.numbers.compute`.
    facts : DataFrame
        Of `week_facts`.

    Returns
    -------
    DataFrame
        As `COLUMNS`.
    """
    answers = numbers.answers
    flows = totals(answers.current, ["flow_id"])
    total = totals(answers.current)
    assert flows is not None
    assert total is not None
    known = facts.set_index("flow_id")
    frame = pd.concat([flows, total.assign(flow_id="")], ignore_index=True).reindex(
        columns=["flow_id", *COUNTS, "conversion_value"]
    )
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
        A part is not what a run left.
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
