"""What Klaviyo's guide tells people to type, and what its SDKs send, works against the served sandbox."""

from __future__ import annotations

import http.client
import json
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlencode, urlsplit

import pytest
from klaviyo_api import KlaviyoAPI
from sandbox_asking import body, frozen, served

from flowperf_helpers.sandbox import SANDBOX_KEY, SANDBOX_NOW, SANDBOX_TOKEN

FLOWPERF = str(Path(sys.executable).parent / "flowperf")
SDK_REVISIONS = ("2024-10-15", "2025-07-15", "2026-10-15")
"""Of klaviyo-api 16, 20 and 25."""

GUIDE = [
    r"""
curl --request GET \
     --url 'https://a.klaviyo.com/api/metrics/?filter=equals(integration.name,"YourIntegration")&fields[metric]=name,integration.id,integration.name' \
     --header 'Authorization: Bearer {access_token}' \
     --header 'accept: application/json' \
     --header 'revision: 2024-10-15'
""",  # noqa: E501
    r"""
curl --request GET \
     --url https://a.klaviyo.com/api/metrics/REcTBe/relationships/flow-triggers \
     --header 'Authorization: Bearer {access_token}' \
     --header 'accept: application/json' \
     --header 'revision: 2024-10-15'
""",
    r"""
curl --request POST \
     --url https://a.klaviyo.com/api/flow-values-reports/ \
     --header 'Authorization: Bearer {access_token}' \
     --header 'accept: application/json' \
     --header 'content-type: application/json' \
     --header 'revision: 2024-10-15' \
     --data '
{
  "data": {
    "type": "flow-values-report",
    "attributes": {
      "timeframe": {
        "start": "2024-05-08T00:00:00+00:00",
        "end": "2024-06-20T00:00:00+00:00"

      },
      "conversion_metric_id": "REcTBe",
      "filter":"equals(flow_id,\"T7K2j8\")",
      "statistics": [
        "clicks",
        "clicks_unique",
        "conversion_uniques"
      ]
    }
  }
}
'
""",
    r"""
curl --request POST \
     --url https://a.klaviyo.com/api/flow-series-reports/ \
     --header 'Authorization: Bearer {access_token}' \
     --header 'accept: application/json' \
     --header 'content-type: application/json' \
     --header 'revision: 2024-10-15' \
     --data '
{
  "data": {
    "type": "flow-series-report",
    "attributes": {
      "timeframe": {
        "key": "last_30_days"
      },
      "interval": "weekly",
      "conversion_metric_id": "REcTBe",
      "filter": "equals(flow_id,\"T7K2j8\")",
      "statistics": [
        "clicks",
        "delivery_rate",
        "open_rate"
      ]
    }
  }
}
'
""",
]
"""The guide's four commands; a lost quote is put back, and the address with an ampersand is quoted."""


@pytest.fixture(scope="module")
def typed_url() -> Iterator[str]:
    """Start ``flowperf sandbox`` as a person does; its address."""
    command = [FLOWPERF, "sandbox", "--port", "0", "--now", SANDBOX_NOW.isoformat()]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        (url,) = re.findall(r"http://127\.0\.0\.1:\d+", process.stdout.readline())
        yield url
        process.terminate()


def sent(arguments: list[str]) -> dict[str, Any]:
    """Do over a socket what curl does with these arguments."""
    options = dict(zip(arguments[1::2], arguments[2::2], strict=True))
    headers = [value for name, value in zip(arguments[1::2], arguments[2::2], strict=True) if name == "--header"]
    place = urlsplit(options["--url"])
    connection = http.client.HTTPConnection(place.netloc, timeout=30)
    connection.putrequest(options["--request"], place.path + ("?" + place.query if place.query else ""))
    for header in headers:
        connection.putheader(*header.split(": ", 1))
    data = options.get("--data", "").replace("\n", "").encode()
    connection.putheader("Content-Length", str(len(data)))
    connection.endheaders(data)
    answer = json.loads(connection.getresponse().read())
    connection.close()
    return answer


def curled(arguments: list[str]) -> dict[str, Any]:
    """Run curl itself; brackets in an address are letters, not a range."""
    command = [*arguments, "--globoff", "--silent", "--noproxy", "*"]
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout)


def rows(answer: dict[str, Any]) -> list[dict[str, Any]]:
    """Return what an answer lists."""
    assert "errors" not in answer, answer
    data = answer["data"]
    return data if isinstance(data, list) else data["attributes"]["results"]


def test_the_guides_commands_return_rows(typed_url):
    """Each of the four commands returns rows, through curl where there is one and as the same bytes where not."""
    run = curled if shutil.which("curl") else sent
    found = []
    for command in GUIDE:
        typed = command.replace("https://a.klaviyo.com", typed_url).replace("{access_token}", SANDBOX_TOKEN)
        arguments = shlex.split(typed.replace("\\\n", " "))
        assert "curl" == arguments[0]
        found.append(rows(run(arguments)))
        assert found[-1] == rows(sent(arguments))
    metrics, flows, values, series = found
    assert {"REcTBe", "RcsmFp"} <= {m["id"] for m in metrics}
    assert [{"type": "flow", "id": "T7K2j8"}] == flows
    messages = ["01GMRWDSA0ARTAKE1SFX8JGXAY", "01GJTHNWVG93F3KNX71SJ4FDBB"]
    for report in (values, series):
        assert messages == [row["groupings"]["flow_message_id"] for row in report]
    assert all(row["statistics"]["clicks"] > 0 for row in values)
    assert all(sum(row["statistics"]["clicks"]) > 0 for row in series)


@pytest.fixture(scope="module")
def small_pages() -> Iterator[str]:
    """Serve a sandbox whose reports come in pages of ten rows; its address."""
    with served(frozen(page_rows=10)) as url:
        yield url


def asked(url: str, path: str, revision: str, query: dict[str, str], data: dict[str, Any] | None) -> dict[str, Any]:
    """Send what klaviyo-api sends: every query value encoded whole, a body in Klaviyo's media type."""
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=30)
    headers = {"Authorization": f"Klaviyo-API-Key {SANDBOX_KEY}", "revision": revision,
               "Accept": "application/vnd.api+json", "Content-Type": "application/vnd.api+json"}  # fmt: skip
    connection.request(
        "GET" if data is None else "POST",
        path + ("?" + urlencode(query) if query else ""),
        body=None if data is None else json.dumps(data),
        headers=headers,
    )
    answer = connection.getresponse()
    got = json.loads(answer.read())
    connection.close()
    assert 200 == answer.status, got
    return got


@pytest.mark.parametrize("decoded", [True, False])
@pytest.mark.parametrize("revision", SDK_REVISIONS)
@pytest.mark.parametrize(
    ("path", "query", "data", "pages"),
    [
        ("/api/flows", {"page[size]": "10", "sort": "-name"}, None, 3),
        ("/api/flows", {"page[size]": "1", "filter": 'any(id,["XbChk1","A&page[cursor]=B","VwBrw2"])'}, None, 2),
        ("/api/flows/XbChk1/flow-actions", {"page[size]": "3"}, None, 3),
        ("/api/flows/XbChk1/relationships/flow-actions", {"page[size]": "3"}, None, 3),
        ("/api/flow-values-reports", {}, body("values"), 4),
        ("/api/flow-series-reports", {}, body("series"), 4),
    ],
)
def test_a_whole_link_is_a_cursor(small_pages, path, query, data, pages, revision, decoded):
    """SDKs hand over the whole next link as the cursor: it leads through the list as following the link does."""
    parameter = "page[cursor]" if data is None else "page_cursor"
    following, paging = [], []
    link: str | None = f"{path}?{urlencode(query)}"
    while link:
        got = asked(small_pages, link.removeprefix(small_pages), revision, {}, data)
        following.append(rows(got))
        link = got["links"]["next"]
    more: dict[str, str] = {}
    while True:
        got = asked(small_pages, path, revision, {**query, **more}, data)
        paging.append(rows(got))
        link = got["links"]["next"]
        if link is None:
            break
        assert "http" not in link.removeprefix(small_pages)  # links do not nest
        assert "http" not in got["links"]["self"].removeprefix(small_pages)
        more = {parameter: unquote(link) if decoded else link}
    assert pages == len(paging)
    assert following == paging


def test_klaviyos_sdk_pages_every_list(small_pages):
    """The installed SDK walks flows, actions, messages and both reports with whole links."""
    sdk = KlaviyoAPI(SANDBOX_KEY, test_host=small_pages, max_retries=1)

    def walk(call: Any, *given: Any, **options: Any) -> tuple[list[Any], int]:
        found, pages, more = [], 0, {}
        while True:
            answer = call(*given, **options, **more)
            pages += 1
            found += answer.data if isinstance(answer.data, list) else answer.data.attributes.results
            if not answer.links.next:
                return found, pages
            more = {"page_cursor": answer.links.next}

    flows, pages = walk(sdk.Flows.get_flows, page_size=10)
    assert (3, len(flows)) == (pages, len({f.id for f in flows}))
    for flow in flows[:6]:
        actions, pages = walk(sdk.Flows.get_actions_for_flow, flow.id, page_size=1)
        assert pages == max(len(actions), 1)
        for action in actions:
            assert flow.id == sdk.Flows.get_flow_for_flow_action(action.id).data.id
            messages, _ = walk(sdk.Flows.get_flow_action_messages, action.id, page_size=1)
            assert all(action.id == sdk.Flows.get_action_for_flow_message(m.id).data.id for m in messages)
    for kind, call, raw in (
        ("values", sdk.Reporting.query_flow_values, sdk.Reporting.query_flow_values_with_http_info),
        ("series", sdk.Reporting.query_flow_series, sdk.Reporting.query_flow_series_with_http_info),
    ):
        found, more = [], {}
        while True:
            found.append(call(body(kind), **more).data.attributes.results)
            link = json.loads(raw(body(kind), **more).raw_data)["links"]["next"]  # the models know no next page
            if link is None:
                break
            more = {"page_cursor": link}
        assert 4 <= len(found)
        assert len({str(r.groupings) for page in found for r in page}) == sum(len(page) for page in found) > 30
