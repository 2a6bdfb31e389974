"""Klaviyo's revisions and what each of them brought to reports and flows (contract, section B)."""

from __future__ import annotations

from flowperf_helpers.catalog import GROUPINGS, STATISTICS
from flowperf_helpers.sandbox.problems import Problem

__all__ = ["REVISIONS", "check_revision", "fields_of", "groupings_of", "needs", "statistics_of"]

REVISIONS = (
    "2024-02-15", "2024-05-15", "2024-06-15", "2024-07-15", "2024-10-15", "2025-01-15", "2025-04-15", "2025-07-15",
    "2025-10-15", "2026-01-15", "2026-04-15", "2026-07-15", "2026-10-15",
)  # fmt: skip
"""From the first one with flow reports to the newest."""

_FIRST, _NEVER = REVISIONS[0], "9999"
_FIELDS = (
    ("metric", ("name", "created", "updated", "integration"), _FIRST, _NEVER),
    ("flow", ("name", "status", "archived", "created", "updated", "trigger_type"), _FIRST, _NEVER),
    ("flow-action", ("created", "updated"), _FIRST, _NEVER),
    ("flow-action", ("action_type", "status", "settings", "tracking_options", "send_options", "render_options"), _FIRST,
     "2025-10-15"),
    ("flow-action", ("definition",), "2025-10-15", _NEVER),
    ("flow-message", ("created", "updated"), _FIRST, _NEVER),
    ("flow-message", ("name", "channel", "content"), _FIRST, "2025-10-15"),
    ("flow-message", ("definition",), "2025-10-15", _NEVER),
    ("flow-message", ("channel",), "2026-01-15", _NEVER),
    ("account", ("test_account", "contact_information", "industry", "timezone", "preferred_currency", "public_api_key",
                 "locale"), _FIRST, _NEVER),
    ("tag", ("name",), _FIRST, _NEVER),
    ("mapped-metric", ("updated",), _FIRST, _NEVER),
)  # fmt: skip
"""Resource, fields, the first revision that has them and the first that has not."""

_TEXT_COSTS = (
    "message_segment_count_sum",
    "text_message_credit_usage_amount",
    "text_message_spend",
    "text_message_roi",
)


def check_revision(value: str | None) -> str:
    """Return the revision of a request.

    Raises
    ------
    Problem
        400: none, or one that never was.
    """
    if not value:
        raise Problem(
            400, "missing_revision", "Missing revision.", "The revision header is required.", pointer="/data/"
        )
    if value not in REVISIONS:
        raise Problem(
            400, "invalid_revision", "Invalid revision.", f"{value[:40]!r} is not a valid revision.", pointer="/data/"
        )
    return value


def needs(revision: str, since: str) -> None:
    """Refuse an endpoint that is younger than the revision.

    Raises
    ------
    Problem
        404 with Klaviyo's words.
    """
    if revision < since:
        raise Problem(404, "not_found", "Not found.", "No valid revisions found for method", pointer="/data/")


def groupings_of(revision: str) -> tuple[str, ...]:
    """Return groupings that ``group_by`` may name; none before 2025-10-15."""
    if revision >= "2026-01-15":
        return GROUPINGS
    return ("flow_id", "flow_message_id", "send_channel") if revision >= "2025-10-15" else ()


def fields_of(kind: str, revision: str) -> tuple[str, ...]:
    """Return fields that ``fields[kind]`` may name."""
    names = [name for k, names, since, before in _FIELDS if k == kind and since <= revision < before for name in names]
    return ("id", *names) if revision >= "2026-04-15" else tuple(names)


def statistics_of(revision: str) -> tuple[str, ...]:
    """Return statistics that may be asked."""
    if revision >= "2025-10-15":
        return tuple(STATISTICS)
    return tuple(name for name in STATISTICS if name not in _TEXT_COSTS)
