"""One entry per Klaviyo statistic: what it counts, in which unit, and what may be done with it.

Names and lists are those of Klaviyo's revision 2026-10-15; formulas are the best known (Klaviyo's own sources
disagree on some denominators, so a rate lists its candidates, the default first). A test holds the names, groupings
and presets to the enums of PyPI's ``klaviyo-api``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import pandas as pd

__all__ = [
    "CHANNELS",
    "DEFAULT_GROUP_BY",
    "GROUPINGS",
    "INTERVALS",
    "PRESETS",
    "REQUIRED_GROUP_BY",
    "STATISTICS",
    "VALUE_STATISTICS",
    "Statistic",
    "has_meaning",
    "how_to_read",
]

Kind = Literal["count", "unique", "rate", "money", "ratio"]
Unit = Literal["count", "fraction", "money", "credits", "ratio"]

INTERVALS = ("hourly", "daily", "weekly", "monthly")

PRESETS = (
    "today", "yesterday", "this_week", "last_week", "this_month", "last_month", "this_year", "last_year",
    "last_7_days", "last_30_days", "last_90_days", "last_365_days", "last_3_months", "last_12_months",
)  # fmt: skip

GROUPINGS = (
    "flow_id", "flow_name", "flow_message_id", "flow_message_name", "send_channel", "variation", "variation_name",
    "text_message_format", "tag_id", "tag_name",
)  # fmt: skip
REQUIRED_GROUP_BY = ("flow_id", "flow_message_id")
DEFAULT_GROUP_BY = ("flow_id", "flow_name", "flow_message_id", "flow_message_name", "send_channel")

CHANNELS = ("email", "sms", "push-notification", "whatsapp")
_EMAIL = frozenset({"email"})
_TEXT = frozenset({"sms", "whatsapp"})
_OPENS = frozenset({"email", "push-notification"})
_CLICKS = frozenset({"email", "sms", "whatsapp"})
_FAILS = frozenset({"sms", "push-notification", "whatsapp"})
_STOPS = frozenset({"email", "sms", "whatsapp"})


@dataclass(frozen=True)
class Statistic:
    """What is known of one statistic.

    Attributes
    ----------
    name : str
        Klaviyo's name, also the column's.
    label : str
        For axes and table heads.
    kind : {"count", "unique", "rate", "money", "ratio"}
        ``unique`` counts people per message, ``money`` is a sum of money or credits, ``rate`` a fraction in [0, 1],
        ``ratio`` a quotient without that bound.
    unit : {"count", "fraction", "money", "credits", "ratio"}
        How the number is printed.
    sentence : str
        The definition, for people.
    numerators, denominators : tuple of str
        Candidate parts of a rate or ratio, best known first; empty for sums.
    additive_over_messages, additive_over_time : bool
        Whether rows may be summed that way. A unique summed over messages counts people once per message.
    channels : frozenset of str or None
        Channels on which it means something; None for all.
    needs_value : bool
        Whether the conversion metric must carry values.
    """

    name: str
    label: str
    kind: Kind
    unit: Unit
    sentence: str
    numerators: tuple[str, ...] = ()
    denominators: tuple[str, ...] = ()
    additive_over_messages: bool = True
    additive_over_time: bool = True
    channels: frozenset[str] | None = None
    needs_value: bool = False

    @property
    def is_count(self) -> bool:
        """Whether the column is a whole number (dtype ``Int64``)."""
        return self.kind in ("count", "unique")


def _count(name: str, label: str, sentence: str, channels: frozenset[str] | None = None) -> Statistic:
    return Statistic(name, label, "count", "count", sentence, channels=channels)


def _unique(name: str, label: str, sentence: str, channels: frozenset[str] | None = None) -> Statistic:
    return Statistic(name, label, "unique", "count", sentence, channels=channels, additive_over_time=False)


def _rate(
    name: str,
    label: str,
    sentence: str,
    numerators: tuple[str, ...],
    denominators: tuple[str, ...],
    channels: frozenset[str] | None = None,
) -> Statistic:
    return Statistic(
        name, label, "rate", "fraction", sentence, numerators, denominators,
        additive_over_messages=False, additive_over_time=False, channels=channels,
    )  # fmt: skip


def _quotient(
    name: str, label: str, unit: Unit, sentence: str, numerator: str, denominators: tuple[str, ...],
    channels: frozenset[str] | None = None,
) -> Statistic:  # fmt: skip
    return Statistic(
        name, label, "ratio", unit, sentence, (numerator,), denominators,
        additive_over_messages=False, additive_over_time=False, channels=channels, needs_value=True,
    )  # fmt: skip


_BOTH = ("delivered", "recipients")

STATISTICS: dict[str, Statistic] = {
    s.name: s
    for s in (
        _count("recipients", "Recipients", "Messages that Klaviyo tried to send, bounced ones included."),
        _count("delivered", "Delivered", "Recipients less those that bounced or failed."),
        _rate("delivery_rate", "Delivery rate", "Delivered divided by recipients.", ("delivered",), ("recipients",)),
        _count("bounced", "Bounced", "E-mails that came back, soft and hard.", _EMAIL),
        _rate("bounce_rate", "Bounce rate", "Bounced divided by recipients.", ("bounced",), ("recipients",), _EMAIL),
        _count("failed", "Failed", "Texts and pushes that could not be delivered.", _FAILS),
        _rate("failed_rate", "Failed rate", "Failed divided by recipients.", ("failed",), ("recipients",), _FAILS),
        _count("bounced_or_failed", "Bounced or failed", "Bounced e-mails and failed texts and pushes together."),
        _rate("bounced_or_failed_rate", "Bounced or failed rate", "Bounced or failed divided by recipients.",
              ("bounced_or_failed",), ("recipients",)),
        _count("opens", "Opens", "Every open, repeats and privacy prefetches included.", _OPENS),
        _unique("opens_unique", "Unique opens", "People who opened a message at least once, per message.", _OPENS),
        _rate("open_rate", "Open rate", "Unique opens divided by delivered (some Klaviyo texts say recipients).",
              ("opens_unique",), _BOTH, _OPENS),
        _count("clicks", "Clicks", "Every click, repeats included.", _CLICKS),
        _unique("clicks_unique", "Unique clicks", "People who clicked in a message at least once, per message.",
                _CLICKS),
        _rate("click_rate", "Click rate", "Unique clicks divided by delivered (some Klaviyo texts say recipients).",
              ("clicks_unique",), _BOTH, _CLICKS),
        _rate("click_to_open_rate", "Click-to-open rate", "Unique clicks divided by unique opens.",
              ("clicks_unique",), ("opens_unique",), _EMAIL),
        _count("unsubscribes", "Unsubscribes", "Unsubscribe events from a message.", _STOPS),
        _unique("unsubscribe_uniques", "Unique unsubscribes", "People who unsubscribed from a message.", _STOPS),
        _rate("unsubscribe_rate", "Unsubscribe rate", "Unsubscribes divided by delivered or recipients.",
              ("unsubscribe_uniques", "unsubscribes"), _BOTH, _STOPS),
        _count("spam_complaints", "Spam complaints", "Times a message was marked as spam.", _EMAIL),
        _rate("spam_complaint_rate", "Spam complaint rate", "Spam complaints divided by delivered or recipients.",
              ("spam_complaints",), _BOTH, _EMAIL),
        _count("conversions", "Conversions", "Conversion events attributed to the message, by its send date."),
        _unique("conversion_uniques", "Unique conversions", "People who converted, per message."),
        _rate("conversion_rate", "Conversion rate", "People who converted divided by delivered or recipients.",
              ("conversion_uniques", "conversions"), _BOTH),
        Statistic("conversion_value", "Conversion value", "money", "money",
                  "Sum of the values of the attributed conversion events.", needs_value=True),
        _quotient("average_order_value", "Average order value", "money", "Conversion value divided by conversions.",
                  "conversion_value", ("conversions",)),
        _quotient("revenue_per_recipient", "Revenue per recipient", "money",
                  "Conversion value divided by recipients (an old help text says delivered).",
                  "conversion_value", ("recipients", "delivered")),
        _count("message_segment_count_sum", "Text segments", "Segments that texts were split into.", _TEXT),
        Statistic("text_message_credit_usage_amount", "Text credits", "money", "credits",
                  "Credits that texts consumed.", channels=_TEXT),
        Statistic("text_message_spend", "Text spend", "money", "money",
                  "What the texts cost; Klaviyo does not say in which currency.", channels=_TEXT),
        _quotient("text_message_roi", "Text return on spend", "ratio",
                  "Conversion value against text spend; Klaviyo publishes no exact form.",
                  "conversion_value", ("text_message_spend",), _TEXT),
    )
}  # fmt: skip

VALUE_STATISTICS = ("average_order_value", "conversion_value", "revenue_per_recipient")
"""The three that some conversion metrics refuse with a 400."""


def has_meaning(statistic: str, channel: str) -> bool:
    """Whether a statistic says something on a channel.

    A channel that the catalogue does not know (Klaviyo has sent others before) is given the benefit of the doubt.
    """
    entry = STATISTICS.get(statistic)
    return entry is None or entry.channels is None or channel in entry.channels or channel not in CHANNELS


def how_to_read(statistics: list[str] | tuple[str, ...] | None = None) -> pd.DataFrame:
    """Definitions as a table for notebooks and the report.

    Returns
    -------
    DataFrame
        One row per statistic, columns ``statistic, label, unit, definition, may_be_summed, channels`` (all string).
    """
    chosen = [STATISTICS[name] for name in (STATISTICS if statistics is None else statistics)]
    return pd.DataFrame(
        {
            "statistic": [s.name for s in chosen],
            "label": [s.label for s in chosen],
            "unit": [s.unit for s in chosen],
            "definition": [s.sentence for s in chosen],
            "may_be_summed": [_summing(s) for s in chosen],
            "channels": ["all" if s.channels is None else ", ".join(sorted(s.channels)) for s in chosen],
        },
        dtype="str",
    )


def _summing(s: Statistic) -> str:
    if s.additive_over_time:
        return "over messages and over time"
    if s.additive_over_messages:
        return "over messages only, as people per message"
    return "never: rebuilt from its parts"
