"""Every account of accounts.toml in Dagster, one step each; the last one puts them together, and fails if one did."""

import os
import subprocess

from dagster import Definitions, DynamicOut, DynamicOutput, RetryRequested, ScheduleDefinition, job, op

from flowperf_helpers.fleet.command import run_account
from flowperf_helpers.klaviyo.accounts_file import account_names

OUT = os.environ.get("FLOWPERF_REPORTS", "/srv/flowperf/fleet")


def account(context, name):
    """Make one account's part; try again an hour later, twice."""
    try:
        run_account(name, out=OUT)
    except Exception as error:
        if context.retry_number < 2:
            raise RetryRequested(max_retries=2, seconds_to_wait=3600) from error
        context.log.error(f"{name}: {error}")  # a failed step would keep the last one from running


def together(made):  # noqa: D103
    subprocess.run(["flowperf", "fleet", "--out", OUT], check=True)  # noqa: S603, S607


names = op(name="names", out=DynamicOut())(lambda: [DynamicOutput(n, str(i)) for i, n in enumerate(account_names())])
fleet = job(name="flowperf_fleet")(lambda: op(together)(names().map(op(account)).collect()) and None)
definitions = Definitions(schedules=[ScheduleDefinition(job=fleet, cron_schedule="17 6 * * 1")])
