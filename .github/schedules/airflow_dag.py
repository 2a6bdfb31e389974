"""The weekly report in Airflow 3. The worker's environment holds the key whose variable accounts.toml names."""

import os
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from airflow.sdk import dag, task


@dag(
    schedule="17 6 * * 1",
    start_date=datetime(2026, 11, 2, tzinfo=ZoneInfo("Europe/Copenhagen")),
    catchup=False,
    max_active_runs=1,
    default_args={"retries": 2, "retry_delay": timedelta(hours=1), "execution_timeout": timedelta(minutes=30)},
)
def flowperf_weekly_report():
    """Run the report; what it returns is where the files are."""

    @task
    def weekly_report():
        from flowperf_helpers.report.run.weekly import run_weekly

        made = run_weekly(os.environ.get("FLOWPERF_ACCOUNT", "sandbox"), out=os.environ["FLOWPERF_REPORTS"])
        return [file.path for file in made.files]

    weekly_report()


flowperf_weekly_report()
