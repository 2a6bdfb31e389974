"""The command line: arguments, exit codes, and what is printed of frames."""

from __future__ import annotations

import functools
import json
import os
import re
import sys
import unicodedata
from collections.abc import Callable
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from flowperf_helpers.errors import ArgumentError, DeliveryError, FlowperfError

if TYPE_CHECKING:
    import pandas as pd

    from flowperf_helpers.report.run.weekly import Manifest

__all__ = ["echo_frame", "main", "moment"]


# The command line: arguments and exit codes, nothing else.
#
# Every command imports its room when it runs, so that ``flowperf --help`` costs no more than Python itself. An option
# that a command only hands on is called as the parameter it is handed to, of `run_weekly` or `run_command`.

ACCOUNT = click.option(
    "--account", default="sandbox", show_default=True, help='"sandbox", "live", or a section of accounts.toml.'
)
INTEGRATION = click.option("--integration", help="Name as Klaviyo spells it; default: the account's setting, else all.")
FORMAT = click.option(
    "--format", "shape", type=click.Choice(["table", "csv", "json"]), default="table", show_default=True
)
QUIET = click.option("--quiet", is_flag=True, help="Nothing on stderr but errors.")
FILE = click.argument("accounts_file", required=False, type=click.Path(dir_okay=False))
SECTIONS = click.option(
    "--accounts",
    "only",
    callback=lambda context, option, names: [name.strip() for name in (names or "").split(",") if name.strip()],
    help="Only these sections, such as acme,beta.",
)
TAGS = click.option("--tag", "tags", multiple=True, help="Only accounts with this tag; may be given several times.")


def _manners(command: Callable[..., Any]) -> Callable[..., Any]:
    """Turn our errors into a sentence on stderr and an exit code; a traceback only with ``--debug``."""

    @click.option("--debug", is_flag=True, help="Show the traceback of an error.")
    @functools.wraps(command)
    def run(*args: Any, debug: bool, **kwargs: Any) -> Any:
        try:
            return command(*args, **kwargs)
        except FlowperfError as error:
            _complain(error, debug=debug)
            sys.exit(error.exit_code)
        except (click.exceptions.Exit, click.exceptions.Abort, click.ClickException):
            raise
        except KeyboardInterrupt:
            click.echo("flowperf: stopped; what had arrived is kept.", err=True)
            sys.exit(130)
        except BrokenPipeError:
            sys.exit(1)
        except Exception as error:
            if debug:
                raise
            click.echo(
                f"flowperf: unexpected {type(error).__name__}: {_one_line(error)} (--debug shows where)", err=True
            )
            sys.exit(1)

    return run


def _one_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:300] if lines else "no message"


def _complain(error: FlowperfError, *, debug: bool) -> None:
    if debug:
        import traceback

        click.echo(getattr(error, "traceback", None) or "".join(traceback.format_exception(error)), err=True)
    click.echo(f"flowperf: {error}", err=True)
    path = getattr(error, "path", None)
    if str(path or "").endswith("-FAILED.ipynb"):
        click.echo(f"flowperf: the notebook as far as it got: {path}", err=True)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(version("flowperf"), prog_name="flowperf")
def main() -> None:
    """How Klaviyo flows perform: from a metric to tidy frames, comparisons and a weekly report.

    Exit codes: 0 done, 1 unexpected, 2 wrong arguments, 3 credentials or permission, 4 quota spent (says when to run
    again), 5 an answer that cannot be used or nothing where something was due, 6 made and not delivered, or some
    accounts of a fleet failed, 7 a file that cannot be read or written (disk full, no permission), 8 the deadline of
    --timeout has passed.
    """


@main.command()
@ACCOUNT
@INTEGRATION
@click.option("--category", help="Category of the integrations, such as eCommerce.")
@FORMAT
@_manners
def discover(account: str, integration: str | None, category: str | None, shape: str) -> None:
    """List an account's metrics and the flows they trigger."""
    from flowperf_helpers import connect

    asked = connect(account)
    metrics = asked.metrics(integration=integration, category=category)
    flows = asked.flows_triggered_by(list(metrics["metric_id"]))
    kept = ["metric_id", "flow_id", "flow_name", "flow_status", "archived"]
    found = metrics.merge(flows[[c for c in kept if c in flows]], on="metric_id", how="left")
    echo_frame(found, shape)  # a row per metric × flow, and one for a metric without flows


@main.command()
@ACCOUNT
@INTEGRATION
@click.option(
    "--conversion-metric", help="Id, name or \"revenue\"; default: the account's setting, else each flow's own trigger."
)
@click.option("--week", help="ISO week such as 2026-W47; default: the last complete one in the account's zone.")
@click.option("--out", help="Folder, or an address such as s3://bucket/reports.")
@click.option(
    "--plan", is_flag=True, help="Show the requests, minutes and share of the day's quota; send no report request."
)
@click.option("--notebook", help="A changed copy of the stock notebook.")
@click.option(
    "-p", "--parameter", "parameters", nargs=2, multiple=True, metavar="NAME VALUE", help="A parameter of that copy."
)
@click.option("--pdf", is_flag=True, help="Also print a PDF (needs Chromium).")
@click.option("--allow-partial", is_flag=True, help="Report a week that still runs, marked as such.")
@click.option("--refresh", is_flag=True, help="Ask Klaviyo again also for what is in the store.")
@click.option("--timeout", type=click.FloatRange(min=1), metavar="SECONDS", help="Deadline for the whole run.")
@click.option(
    "--send",
    multiple=True,
    metavar="TARGET",
    help="Also send it: mail, slack, teams, webhook, … as accounts.toml describes.",
)
@click.option(
    "--send-if",
    default="always",
    show_default=True,
    metavar="always|signal|change:PCT",
    help="Send only what is news, or a change of so many per cent.",
)
@click.option("--operator", metavar="TARGET", help="Who hears when a run fails or a message does not arrive.")
@click.option("--check-last", is_flag=True, help="Only look whether the last report that was due is there.")
@QUIET
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout instead of lines.")
@_manners
def weekly(
    account: str,
    out: str | None,
    parameters: tuple[tuple[str, str], ...],
    operator: str | None,
    *,
    plan: bool,
    check_last: bool,
    quiet: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Make the weekly report: .html, .ipynb, .parquet, .xlsx and .json."""
    if plan:
        _show_plan(account, **options)
        return
    if not out:
        raise ArgumentError("Where shall the report go? Give a folder with --out (or --plan to see its cost first).")
    from flowperf_helpers.report.run.send import find_targets, operator_hears
    from flowperf_helpers.report.run.weekly import run_weekly

    watcher = next(iter(find_targets([operator] if operator else [], account=account)), None)
    with operator_hears(watcher, account, lambda line: click.echo(f"flowperf: {line}", err=True)):
        if check_last:
            _show_last(account, out, options["notebook"])
            return
        manifest = run_weekly(
            account,
            out=out,
            parameters=dict(parameters),
            **options,
            say=None if quiet else lambda line: click.echo(line, err=True),
            stderr=None if quiet else sys.stderr,
        )
        _show_manifest(manifest, as_json=as_json, quiet=quiet)
        if manifest.undelivered:
            raise DeliveryError(f"{' '.join(manifest.undelivered)} The report of {manifest.week} is in {out}.")


def _show_last(account: str, out: str, notebook: str | None) -> None:
    from flowperf_helpers.report.run.archive import check_last
    from flowperf_helpers.report.run.weekly import file_prefix

    click.echo(check_last(account, out, prefix=file_prefix(Path(notebook)) if notebook else "weekly"))


def _show_plan(account: str, *, allow_partial: bool, **options: Any) -> None:
    from flowperf_helpers import connect
    from flowperf_helpers.report import plan_week

    asked = {name: options[name] or "" for name in ("week", "integration", "conversion_metric")}
    click.echo(str(plan_week(connect(account), **asked, allow_partial=allow_partial)))


def _show_manifest(manifest: Manifest, *, as_json: bool, quiet: bool) -> None:
    if as_json:
        click.echo(json.dumps(manifest.to_dict(), ensure_ascii=False))
        return
    for file in manifest.files:
        click.echo(file.path)
    if not quiet:
        click.echo(f"done in {manifest.seconds:.1f} s, {manifest.headline['requests']} report requests", err=True)


@main.command()
@click.option("--port", type=click.IntRange(0, 65535), default=8765, show_default=True)
@click.option("--enforce-limits", is_flag=True, help="Answer 429 where Klaviyo would.")
@click.option("--now", metavar="ISO", help="Freeze the account's clock, such as 2026-11-23T06:00:00+01:00.")
@click.option("--variant", default="default", show_default=True, help='Another account, such as "wandering".')
@_manners
def sandbox(port: int, enforce_limits: bool, now: str | None, variant: str) -> None:
    """Serve the embedded account over HTTP on loopback."""
    from flowperf_helpers.sandbox import serve

    clock = moment(now) if now else None
    try:
        serve(port, enforce_limits=enforce_limits, now=clock, variant=variant, ready=_greet_sandbox)
    except ValueError as error:
        raise ArgumentError(str(error)) from error
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else type(error).__name__
        raise ArgumentError(f"Port {port} cannot be used ({reason}): give another one with --port.") from error


def _greet_sandbox(address: str) -> None:
    from flowperf_helpers.klaviyo.settings import DEFAULT_REVISION
    from flowperf_helpers.sandbox import SANDBOX_KEY

    click.echo(f"the sandbox, an invented shop: {address} (key: {SANDBOX_KEY})")
    headers = f"-H 'Authorization: Klaviyo-API-Key {SANDBOX_KEY}' -H 'revision: {DEFAULT_REVISION}'"
    click.echo(f"try: curl -s {address}/api/metrics {headers}")
    click.echo("Ctrl-C stops it.")


@main.command()
@ACCOUNT
@FORMAT
@_manners
def status(account: str, shape: str) -> None:
    """Show the quota used and left today, and the snapshots kept."""
    from flowperf_helpers import connect

    echo_frame(connect(account).status(), shape)


@main.command()
@ACCOUNT
@click.option("--week", help="ISO week of the compared values, such as 2026-W47; default: the last complete one.")
@click.option("--conversion-metric", help='Id, name or "revenue", which is the default.')
@click.option("--port", type=click.IntRange(1, 65535), default=8866, show_default=True)
@_manners
def app(account: str, week: str | None, conversion_metric: str | None, port: int) -> None:
    """Serve the comparison notebooks as pages for colleagues who open no JupyterLab."""
    from flowperf_helpers.report.run.app import serve_app

    serve_app(port=port, account=account, week=week, conversion_metric=conversion_metric, say=click.echo)


@main.command()
@FILE
@SECTIONS
@TAGS
@click.option("--week", help="ISO week such as 2026-W47; default: the last one that is complete in UTC.")
@click.option("--out", help="Folder, or an address such as s3://bucket/fleet.")
@click.option("--plan", "plan_only", is_flag=True, help="Show every account's cost; send no report request.")
@click.option("--workers", type=click.IntRange(1, 256), help="Processes that compute; default: one per core.")
@click.option("--scheduler", metavar="ADDRESS", help="Compute on a Dask cluster, such as tcp://host:8786.")
@click.option("--notebooks", is_flag=True, help="Also run the weekly notebook of every account.")
@click.option("--refresh", is_flag=True, help="Ask and make again also what is done.")
@click.option("--sandbox", type=click.IntRange(1, 1000), metavar="N", help="Try it on N invented accounts.")
@QUIET
@_manners
def fleet(*, quiet: bool, **options: Any) -> None:
    """Make the weekly report of many accounts: reports, one dataset, one spreadsheet, fleet.json, an index page."""
    from flowperf_helpers.fleet.command import run_command

    code = run_command(
        **options,
        quiet=quiet,
        show=lambda frame: echo_frame(frame, "table"),
        say=lambda line: None if quiet else click.echo(line, err=True),
        tell=click.echo,
    )
    sys.exit(code)


@main.command()
@FILE
@SECTIONS
@TAGS
@FORMAT
@_manners
def accounts(shape: str, **chosen: Any) -> None:
    """List and check the sections of accounts.toml, without a report request."""
    from flowperf_helpers.fleet.command import check_command

    table, warnings, code = check_command(**chosen)
    echo_frame(table, shape)
    for warning in warnings:
        click.echo(f"flowperf: {warning}", err=True)
    sys.exit(code)


# What the command line prints of frames: an aligned table for people, CSV and JSON for programs.

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]")
"""What a terminal would obey instead of showing it."""


def echo_frame(frame: pd.DataFrame, shape: str) -> None:
    """Print a frame as ``table``, ``csv`` or ``json`` (one object per row); no text of it steers a terminal."""
    if shape == "csv":
        click.echo(frame.map(_inert).to_csv(index=False), nl=False)
    elif shape == "json":
        text = frame.to_json(orient="records", date_format="iso", force_ascii=False)
        click.echo(_CONTROL.sub(lambda found: f"\\u{ord(found[0]):04x}", text))  # the same value, spelled in ASCII
    elif frame.empty:
        click.echo("nothing to show")
    else:
        from flowperf_helpers.plots.tables import frame_table

        click.echo(frame_table(frame, plain=True).text())


def _inert(value: Any) -> Any:
    """Controls become spaces; a text that a spreadsheet would take for a formula gets an apostrophe before it.

    Spreadsheets look past what cannot be seen, and read the wide forms of East Asian keyboards as the plain signs.
    """
    from flowperf_helpers.frames.formats import clean_name

    if not isinstance(value, str):
        return value
    text = _CONTROL.sub(" ", value)
    is_formula = unicodedata.normalize("NFKC", clean_name(text)[:1]) in ("=", "+", "-", "@")
    return f"'{text}" if is_formula or value[:1] in ("\t", "\r") else text


def moment(text: str) -> datetime:
    """An ISO moment with its offset.

    Raises
    ------
    ArgumentError
        No such moment, or one without an offset.
    """
    try:
        parsed = datetime.fromisoformat(text)
    except ValueError as error:
        raise ArgumentError(f"{text[:40]!r} is not a moment: write it as 2026-11-23T06:00:00+01:00.") from error
    if parsed.tzinfo is None:
        raise ArgumentError(f"{text} lacks its offset: write it as {text}+01:00.")
    return parsed
