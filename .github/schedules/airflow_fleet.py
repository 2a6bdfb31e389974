"""Every account of accounts.toml in Airflow, one task each; the last task puts them together. Airflow 3 loads it."""

import os
from datetime import datetime, timedelta

from airflow import DAG
from airflow.providers.standard.operators.bash import BashOperator
from airflow.providers.standard.operators.python import PythonOperator

from flowperf_helpers.fleet.command import run_account
from flowperf_helpers.klaviyo.accounts_file import account_names

OUT = os.environ.get("FLOWPERF_REPORTS", "/srv/flowperf/fleet")

with DAG(
    dag_id="flowperf_fleet",
    schedule="0 6 * * 1",
    start_date=datetime(2026, 11, 2),
    catchup=False,
    default_args={"retries": 2, "retry_delay": timedelta(hours=1)},
) as dag:
    accounts = PythonOperator.partial(task_id="account", python_callable=run_account).expand(
        op_kwargs=[{"name": name, "out": OUT} for name in account_names()]
    )
    together = BashOperator(
        task_id="together", bash_command=f"flowperf fleet --out {OUT} --quiet || [ $? = 6 ]", trigger_rule="all_done"
    )
    accounts >> together
