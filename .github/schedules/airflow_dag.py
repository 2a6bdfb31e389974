"""The weekly report in Airflow, by papermill's operator.

Needs flowperf and Airflow's papermill and standard providers; Airflow 3.3 loads it.

The key comes from the worker's environment (or an Airflow secrets backend that fills it): ``accounts.toml`` names the
variable as ``api_key_env``. Never hand it over as a parameter, papermill would write it into the output notebook.
"""

from __future__ import annotations

import os
from datetime import datetime, timedelta

from airflow import DAG
from airflow.providers.papermill.operators.papermill import PapermillOperator
from airflow.providers.standard.operators.python import PythonOperator

from flowperf_helpers.report.run.execute import stock_notebook
from flowperf_helpers.report.run.weekly import make_page

FOLDER = os.environ.get("FLOWPERF_REPORTS", "/srv/flowperf/reports")
ACCOUNT = os.environ.get("FLOWPERF_ACCOUNT", "sandbox")
NAME = f"{FOLDER}/weekly-{ACCOUNT}-{{{{ ds }}}}"

with DAG(
    dag_id="flowperf_weekly_report",
    schedule="0 6 * * 1",
    start_date=datetime(2026, 11, 2),
    catchup=False,
    max_active_runs=1,
    default_args={"retries": 2, "retry_delay": timedelta(hours=1), "execution_timeout": timedelta(minutes=30)},
    tags=["flowperf"],
) as dag:
    report = PapermillOperator(
        task_id="weekly_report",
        input_nb=str(stock_notebook("05_weekly_report.ipynb")),
        output_nb=f"{NAME}.ipynb",
        kernel_name="python3",
        parameters={"account": ACCOUNT, "bundle": NAME},
    )
    page = PythonOperator(
        task_id="page",
        python_callable=make_page,
        op_kwargs={"executed": f"{NAME}.ipynb", "html": f"{NAME}.html"},
    )
    report >> page
