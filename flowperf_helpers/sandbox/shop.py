"""Nordlys Outfitters: its name, keys and clock, its metrics, flows, planted stories and variants."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date, datetime
from functools import lru_cache
from zoneinfo import ZoneInfo

from flowperf_helpers.sandbox.model import FIRST_DAY, ZONE, Flow, Message, Metric, Moves, Variation, World

__all__ = [
    "ACCOUNT",
    "FLOWS",
    "HOLIDAY",
    "HOLIDAY_STARTS",
    "METRICS",
    "SANDBOX_KEY",
    "SANDBOX_NOW",
    "SANDBOX_TOKEN",
    "SHOP",
    "STORIES",
    "TEST_STARTS",
    "VARIANTS",
    "Story",
    "build_world",
]


# What others need to know of the account before they ask it.

SHOP = "Nordlys Outfitters"

SANDBOX_NOW = datetime(2026, 11, 23, 6, 0, tzinfo=ZoneInfo(ZONE))
"""The frozen moment of ``connect("sandbox")``: a Monday at six, the week 2026-W47 just over."""

SANDBOX_KEY = "sandbox-key"
SANDBOX_TOKEN = "sandbox-token"  # noqa: S105
"""What the invented account lets in; no secret."""

ACCOUNT = {
    "id": "NrdLys",
    "name": f"{SHOP} (sandbox)",
    "timezone": ZONE,
    "currency": "EUR",
    "locale": "en-DK",
}


# The metrics of Nordlys Outfitters: several integrations, one name twice, a few odd ones as everywhere.


def _integration(id_: str, key: str, name: str, category: str) -> dict[str, str | None]:
    return {"object": "integration", "id": id_, "key": key, "name": name, "category": category}


_SHOPIFY = _integration("0eMvjm", "shopify", "Shopify", "eCommerce")
_WOO = _integration("0cVb4R", "woocommerce", "WooCommerce", "eCommerce")
_KLAVIYO = _integration("0rG4eK", "klaviyo", "Klaviyo", "Internal")
_API = _integration("7FtS4J", "api", "API", "API")
_JUDGE = _integration("0qJdMe", "judgeme", "Judge.me", "Reviews")
_LOYALTY = _integration("0lOyAl", "loyaltylion", "LoyaltyLion", "Loyalty")
_RECHARGE = _integration("0rEcHa", "recharge", "Recharge", "Subscriptions")
# the app of Klaviyo's integration guide: its integration shows an id and a name and nothing else
_YOURS: dict[str, str | None] = {"id": "0rG4eQ", "name": "YourIntegration"}
_ODD: dict[str, str | None] = {"object": "integration", "id": None, "key": None, "name": None, "category": None}

METRICS: tuple[Metric, ...] = (
    Metric("RplOrd", "Placed Order", _SHOPIFY, 1.0, 68.0),
    Metric("RplOpr", "Ordered Product", _SHOPIFY, 1.9, 36.0),
    Metric("RplChk", "Checkout Started", _SHOPIFY, 1.6, 71.0),
    Metric("RplCrt", "Added to Cart", _SHOPIFY, 2.6, 44.0),
    Metric("RplVwd", "Viewed Product", _SHOPIFY, 5.5),
    Metric("RplCol", "Viewed Collection", _SHOPIFY, 3.8),
    Metric("RplFul", "Fulfilled Order", _SHOPIFY, 0.93, 66.0),
    Metric("RplPar", "Fulfilled Partial Order", _SHOPIFY, 0.05, 41.0),
    Metric("RplCnc", "Cancelled Order", _SHOPIFY, 0.03, 59.0),
    Metric("RplRef", "Refunded Order", _SHOPIFY, 0.06, 52.0),
    Metric("RplBis", "Subscribed to Back in Stock", _SHOPIFY, 0.08),
    Metric("RplShp", "Shipment Confirmed", _SHOPIFY, 0.9),
    Metric("RwoOrd", "Placed Order", _WOO, 0.14, 31.0),
    Metric("RwoCnc", "Cancelled Order", _WOO, 0.01, 29.0),
    Metric("REcTBe", "YourIntegration: Sent SMS", _YOURS, 0.22),
    Metric("RcsmFp", "YourIntegration: Marked Email as Spam", _YOURS, 0.004),
    Metric("RyDelv", "YourIntegration: Delivered SMS", _YOURS, 0.21),
    Metric("RyClck", "YourIntegration: Clicked SMS", _YOURS, 0.05),
    Metric("RyFail", "YourIntegration: Failed SMS", _YOURS, 0.006),
    Metric("RkRecE", "Received Email", _KLAVIYO, 4.2),
    Metric("RkOpnE", "Opened Email", _KLAVIYO, 4.0),
    Metric("RkClkE", "Clicked Email", _KLAVIYO, 2.1),
    Metric("RkBncE", "Bounced Email", _KLAVIYO, 0.02),
    Metric("RkSpmE", "Marked Email as Spam", _KLAVIYO, 0.003),
    Metric("RkUnsE", "Unsubscribed from Email Marketing", _KLAVIYO, 0.04),
    Metric("RkSubL", "Subscribed to List", _KLAVIYO, 0.06),
    Metric("RkSntS", "Sent SMS", _KLAVIYO, 0.3),
    Metric("RkRecS", "Received SMS", _KLAVIYO, 0.3),
    Metric("RkClkS", "Clicked SMS", _KLAVIYO, 0.12),
    Metric("RkFalS", "Failed to Deliver SMS", _KLAVIYO, 0.01),
    Metric("RkOpnP", "Opened Push", _KLAVIYO, 0.05),
    Metric("RaActv", "Active on Site", _API, 6.0),
    Metric("RaLook", "Viewed Lookbook", _API, 0.7),
    Metric("RaQuiz", "Submitted Size Quiz", _API, 0.1),
    Metric("RaWhol", "Wholesale Enquiry", _API, 0.01),
    Metric("RaStor", "Bought in Store", _API, 0.2, 82.0),
    Metric("RjReqs", "Ready to Review", _JUDGE, 0.4),
    Metric("RjSubm", "Submitted Review", _JUDGE, 0.09),
    Metric("RlPnts", "Points Expiring", _LOYALTY, 0.1),
    Metric("RlRdmd", "Redeemed Reward", _LOYALTY, 0.07, 12.0),
    Metric("RrRnew", "Subscription Renews Soon", _RECHARGE, 0.05),
    Metric("RxNoIn", "Imported Event", None, 0.02),
    Metric("RxNoNm", None, _ODD, 0.01),
)
"""All metrics, in the order Klaviyo lists them."""


# The flows of Nordlys Outfitters, one line per message.
#
# Rates are true probabilities per delivered message; the planted stories change some of them on some days.

TEST_STARTS = date(2026, 10, 26)
"""Monday on which the running A/B tests began: four whole weeks before the sandbox's frozen now."""

_STORE = ("t1", "Store")
_KEY = ("t2", "Key flow")
_LIFE = ("t3", "Lifecycle")
_TAG_IDS = {"t1": "6f1d2c52-0c5e-4c6c-9d0e-2f1a60c0a101", "t2": "6f1d2c52-0c5e-4c6c-9d0e-2f1a60c0a102",
            "t3": "6f1d2c52-0c5e-4c6c-9d0e-2f1a60c0a103"}  # fmt: skip


def _email(
    id_: str, name: str, per_day: float, opens: float, clicks: float, converts: float, *, complains: float = 0.0004,
    starts: date = FIRST_DAY, ends: date | None = None, variations: tuple[Variation, ...] = (), status: str = "live",
) -> Message:  # fmt: skip
    return Message(id_, name, "email", per_day, opens, clicks, converts, 0.006, 0.0035, complains,
                   starts=starts, ends=ends, variations=variations, status=status)  # fmt: skip


def _sms(
    id_: str, name: str, per_day: float, clicks: float, converts: float, *, segments: int = 1, starts: date = FIRST_DAY,
    ends: date | None = None, status: str = "live",
) -> Message:  # fmt: skip
    return Message(id_, name, "sms", per_day, 0.0, clicks, converts, 0.021, 0.006, 0.0, segments,
                   starts=starts, ends=ends, status=status)  # fmt: skip


def _push(id_: str, name: str, per_day: float, opens: float, converts: float, *, starts: date) -> Message:
    return Message(id_, name, "push-notification", per_day, opens, 0.0, converts, 0.034, 0.0, 0.0, starts=starts)


def _halves(prefix: str, first: str, second: str) -> tuple[Variation, ...]:
    return (Variation(f"{prefix}A", first, 0.5, TEST_STARTS), Variation(f"{prefix}B", second, 0.5, TEST_STARTS))


def _flow(
    id_: str, name: str | None, trigger: str | None, *messages: Message, status: str = "live", archived: bool = False,
    trigger_type: str = "Metric", created: str = "2023-12-11", updated: str = "2026-10-26",
    tags: tuple[tuple[str, str], ...] = (), listed: bool = True,
) -> Flow:  # fmt: skip
    named = tuple((_TAG_IDS[key], name) for key, name in tags)
    return Flow(id_, name, status, archived, trigger_type, trigger, f"{created}T09:12:44+00:00",
                f"{updated}T07:31:05+00:00", messages, named, listed)  # fmt: skip


FLOWS: tuple[Flow, ...] = (
    _flow(
        "XbChk1", "Abandoned Checkout", "RplChk",
        _email("Wc1aEm", "Abandoned Checkout: Email 1 (1 hour)", 640, 0.47, 0.092, 0.044),
        _email("Wc2aEm", "Abandoned Checkout: Email 2 (1 day)", 350, 0.41, 0.061, 0.026),
        _email("Wc3aEm", "Abandoned Checkout: Email 3 (3 days, 10 % off)", 190, 0.38, 0.066, 0.029),
        _sms("Wc4aSm", "Abandoned Checkout: SMS", 150, 0.105, 0.041, segments=2),
        tags=(_STORE, _KEY),
    ),
    _flow(
        "VwBrw2", "Browse Abandonment", "RplVwd",
        _email("Wb1aEm", "Browse Abandonment: Email 1", 1120, 0.43, 0.058, 0.012,
               variations=_halves("VbrEm", "Photo of the product", "Three alternatives")),
        _email("Wb2aEm", "Browse Abandonment: Email 2", 310, 0.39, 0.041, 0.009),
        tags=(_STORE,),
    ),
    _flow(
        "YcCrt3", "Abandoned Cart", "RplCrt",
        _email("Wr1aEm", "Abandoned Cart: Email 1", 430, 0.44, 0.074, 0.021),
        _email("Wr2aEm", "Abandoned Cart: Email 2", 220, 0.40, 0.052, 0.015),
        _push("Wr3aPu", "Abandoned Cart: Push", 130, 0.062, 0.011, starts=date(2026, 2, 2)),
        tags=(_STORE,),
    ),
    _flow(
        "SpPst4", "Post-Purchase", "RplOrd",
        _email("Wp1aEm", "Post-Purchase: Thank you", 310, 0.58, 0.071, 0.011),
        _email("Wp2aEm", "Post-Purchase: Care guide", 255, 0.49, 0.083, 0.013,
               variations=_halves("VpcEm", "Long text", "Short text")),
        _sms("Wp4aSm", "Post-Purchase: SMS thanks 💛", 90, 0.052, 0.009),
        tags=(_LIFE,),
    ),
    _flow(
        "RwWin5", "Winback", "RplOrd",
        _email("Ww1aEm", "Winback: We miss you", 500, 0.33, 0.027, 0.008, complains=0.0006),
        _email("Ww2aEm", "Winback: 15 % off", 270, 0.30, 0.036, 0.011, complains=0.0006),
        _sms("Ww3aSm", "Winback: SMS", 60, 0.061, 0.012),
        tags=(_LIFE, _KEY),
    ),
    _flow("UbBis6", "Back in Stock", "RplBis", _email("Wk1aEm", "Back in Stock: It is here", 110, 0.61, 0.21, 0.083)),
    _flow(
        "T7K2j8", "YourIntegration: SMS Follow-up", "REcTBe",
        _email("01GMRWDSA0ARTAKE1SFX8JGXAY", "SMS Follow-up: Email 1", 75, 0.46, 0.083, 0.021, starts=date(2024, 1, 3)),
        _email("01GJTHNWVG93F3KNX71SJ4FDBB", "SMS Follow-up: Email 2", 48, 0.42, 0.064, 0.017, starts=date(2024, 1, 3)),
        created="2024-01-03",
    ),
    _flow("QdDlv7", "YourIntegration: Delivery Update", "RyDelv",
          _sms("Wd1aSm", "Delivery Update: SMS", 180, 0.088, 0.006)),
    _flow("NaSpm8", "YourIntegration: Complaint Apology", "RcsmFp",
          _email("Wa1aEm", "Complaint Apology", 1.4, 0.35, 0.04, 0.004)),
    _flow(
        "HoShp9", "Order Shipped", "RplFul",
        _email("Ws1aEm", "Order Shipped: Email", 300, 0.66, 0.22, 0.008, starts=date(2025, 8, 4)),
        _sms("Ws2aSm", "Order Shipped: SMS", 170, 0.14, 0.005, starts=date(2025, 8, 4)),
    ),
    _flow("GcRef1", "Refund Follow-up", "RplRef", _email("Wf1aEm", "Refund Follow-up", 4.5, 0.52, 0.09, 0.03)),
    _flow("JuRev2", "Review Request", "RjReqs",
          _email("Wj1aEm", "Review Request: Email 1", 140, 0.44, 0.062, 0.007),
          _email("Wj2aEm", "Review Request: Reminder", 95, 0.39, 0.047, 0.006)),
    _flow("LoPts3", "Points Reminder", "RlPnts",
          _email("Wl1aEm", "Points Reminder: Email", 62, 0.48, 0.071, 0.022, starts=date(2026, 1, 12)),
          _push("Wl2aPu", "Points Reminder: Push", 24, 0.071, 0.013, starts=date(2026, 3, 2))),
    _flow("ReSub4", "Subscription Renewal", "RrRnew", _email("We1aEm", "Renewal in 5 days", 36, 0.63, 0.11, 0.035)),
    _flow("QzFit5", "Size Quiz Results", "RaQuiz",
          _email("Wq1aEm", "Size Quiz: Your size", 21, 0.69, 0.24, 0.061, starts=date(2026, 10, 5))),
    _flow(
        "WeLcm6", "Welcome Series", None,
        _email("Wm1aEm", "Welcome: Email 1", 820, 0.52, 0.079, 0.024),
        _email("Wm2aEm", "Welcome: Email 2 (our story)", 640, 0.42, 0.035, 0.009),
        _email("Wm3aEm", "Welcome: Email 3 (best sellers)", 560, 0.39, 0.042, 0.011),
        _sms("Wm4aSm", "Welcome: SMS", 210, 0.096, 0.021, segments=2),
        trigger_type="Added to List", tags=(_KEY,),
    ),
    _flow("ViPcl7", "VIP Club", None, _email("Wv1aEm", "VIP Club: Invitation", 9, 0.64, 0.15, 0.071),
          trigger_type="Added to List"),
    _flow("BiDay8", "Birthday", None, _email("Wi1aEm", "Birthday: Gift", 17, 0.55, 0.13, 0.058),
          trigger_type="Date Based"),
    _flow("PrDrp9", "Price Drop Alert", None, _email("Wo1aEm", "Price Drop", 44, 0.47, 0.12, 0.031),
          trigger_type="Price Drop"),
    _flow("LwInv1", "Low Inventory Alert", None, _email("Wn1aEm", "Almost gone", 27, 0.45, 0.10, 0.027),
          trigger_type="Low Inventory"),
    _flow("SnSet2", "Sunset Unengaged", "RaActv",
          _email("Wt1aEm", "Sunset: Last call", 130, 0.11, 0.008, 0.001, ends=date(2026, 8, 17)),
          tags=(_LIFE,), updated="2026-08-17"),
    _flow("DrChk3", "Abandoned Checkout (new copy)", "RplChk",
          _email("Wy1aEm", "Draft: Email 1", 0, 0.4, 0.05, 0.01, status="draft"), status="draft"),
    _flow("DrCrs4", "Cross-Sell Tents & Mats", "RplOpr",
          _email("Wy2aEm", "Cross-Sell: Email 1", 0, 0.4, 0.05, 0.01, status="draft"),
          _sms("Wy3aSm", "Cross-Sell: SMS", 0, 0.05, 0.01, status="draft"), status="draft"),
    _flow("MnWhs5", "Wholesale Enquiry", "RaWhol",
          _email("Wy4aEm", "Wholesale: Price list", 0.6, 0.7, 0.3, 0.02, status="manual"), status="manual"),
    _flow("ArWel6", "Welcome Series 2025", "RkSubL",
          _email("Wz1aEm", "Welcome 2025: Email 1", 240, 0.49, 0.07, 0.018, starts=date(2025, 5, 19),
                 ends=date(2026, 2, 9)),
          _email("Wz2aEm", "Welcome 2025: Email 2", 180, 0.41, 0.04, 0.009, starts=date(2025, 5, 19),
                 ends=date(2026, 2, 9)),
          archived=True, status="manual", created="2025-05-12", updated="2026-02-09"),
    _flow("ArSpr7", "Spring Sale Reminder", "RplVwd",
          _email("Wz3aEm", "Spring Sale", 0, 0.4, 0.05, 0.01, status="draft"),
          archived=True, status="draft", created="2026-03-02", updated="2026-04-20"),
    _flow("UnCfg8", "Untitled flow", None, trigger_type="Unconfigured", status="draft", created="2026-11-18",
          updated="2026-11-18"),
    _flow("DeLtd9", None, "RaLook", _email("Wx1aEm", "Lookbook: Email", 70, 0.42, 0.06, 0.01, ends=date(2026, 9, 14)),
          listed=False),
)  # fmt: skip
"""All flows; the last one was deleted and only reports still know it."""


FEW_RECIPIENTS: tuple[Flow, ...] = tuple(
    _flow(f"Fw{number:04d}", name, "RaActv", _email(f"Wu{number}aEm", f"{name}: Email", per_day, 0.44, 0.06, 0.014))
    for number, (name, per_day) in enumerate(
        {
            "Gift Card Balance": 16,
            "Store Visit": 7,
            "Repair Finished": 3,
            "Expert Call": 1,
            "Rental Return": 0.4,
        }.items()
    )
)
"""Flows of 4 to 150 recipients a week that only the variants with moving rates have."""


# What is planted in the numbers: one table, read by the generator and by whoever wants to know the truth.


@dataclass(frozen=True)
class Story:
    """One planted change.

    Attributes
    ----------
    story : str
        Its name.
    flow_id, flow_message_id : str
        Where it happens.
    statistic : str
        The statistic that shows it.
    first_day, last_day : date
        Account days on which it holds; ``last_day`` None where it goes on.
    direction : {"lower", "higher", "stopped"}
        Which way.
    size : float
        Factor on the true value of the days (0 for a stop).
    variation : str or None
        The only variation it touches.
    """

    story: str
    flow_id: str
    flow_message_id: str
    statistic: str
    first_day: date
    last_day: date | None
    direction: str
    size: float
    variation: str | None = None


STORIES: tuple[Story, ...] = (
    Story("click rate fell", "XbChk1", "Wc1aEm", "click_rate", date(2026, 11, 16), None, "lower", 0.60),
    Story("variation wins", "VwBrw2", "Wb1aEm", "click_rate", TEST_STARTS, None, "higher", 1.45, variation="VbrEmB"),
    Story(
        "spam spike", "RwWin5", "Ww1aEm", "spam_complaint_rate", date(2026, 11, 17), date(2026, 11, 22), "higher", 20.0
    ),
    Story("flow stopped", "UbBis6", "Wk1aEm", "recipients", date(2026, 11, 17), None, "stopped", 0.0),
)
"""The truth about the default variant and those with moving rates; the quiet ones have none of it."""


# How the rates of the variants move by themselves. Nobody knows which of them a real account is like.

HOLIDAY_STARTS = date(2026, 11, 16)
"""Monday of the holiday week, which is the week that the sandbox reports."""

HOLIDAY = {"opens_unique": -0.08, "clicks_unique": -0.15, "conversion_uniques": 0.30}
"""What the holiday adds to the logarithm of the rates of all messages."""

_WANDERING = Moves(own_week=0.08, common_week=0.03, own_day=0.10, common_day=0.04, persistence=0.3, weekday=0.10,
                   trend=-0.05)  # fmt: skip
_STORMY = Moves(own_week=0.15, common_week=0.06, own_day=0.20, common_day=0.06, persistence=0.5, weekday=0.15,
                trend=-0.08)  # fmt: skip
_MOVES = {"wandering": _WANDERING, "stormy": _STORMY, "holiday": replace(_WANDERING, holiday=True)}


# The variants of the account: the same shop with other troubles.

VARIANTS = (
    "default", "calm", "quiet", *_MOVES, *(f"quiet-{name}" for name in _MOVES), "no_flows", "one_flow", "many_flows",
    "drafts_only", "no_integration", "no_scope", "empty_window", "quota_spent",
)  # fmt: skip
"""Names that `sandbox_app` takes as ``variant``; ``calm`` is another name of ``default``."""

MANY = 500
_ODD_API = next(m.integration for m in METRICS if m.id == "RaActv")


@lru_cache(maxsize=len(VARIANTS))
def build_world(variant: str) -> World:
    """Build one variant of the account.

    Parameters
    ----------
    variant : str
        One of `VARIANTS`.

    Raises
    ------
    ValueError
        No such variant.
    """
    if variant not in VARIANTS:
        raise ValueError(f"The sandbox has no variant {variant[:40]!r}: take one of {', '.join(VARIANTS)}.")
    metrics, flows = METRICS, FLOWS
    if variant == "no_flows":
        flows = ()
    elif variant == "one_flow":
        flows = tuple(f for f in FLOWS if f.id == "XbChk1")
    elif variant == "many_flows":
        flows = FLOWS + tuple(_copy(number) for number in range(MANY - sum(f.listed for f in FLOWS)))
        metrics = METRICS + tuple(_event(number) for number in range(MANY - len(METRICS)))
    elif variant == "drafts_only":
        flows = tuple(_as_draft(f) for f in FLOWS if f.listed and not f.archived)
    elif variant == "no_integration":
        metrics = tuple(m for m in METRICS if m.integration_name in ("Klaviyo", "API"))
        kept = {m.id for m in metrics}
        flows = tuple(f for f in FLOWS if f.metric_id is None or f.metric_id in kept)
    elif variant == "empty_window":
        flows = tuple(replace(f, messages=tuple(replace(m, per_day=0.0) for m in f.messages)) for f in FLOWS)
    moves = _MOVES.get(variant.removeprefix("quiet-"))
    if moves is not None:
        flows = FLOWS + FEW_RECIPIENTS
    has_stories = variant != "many_flows" and not variant.startswith("quiet")
    return World(variant, metrics, flows, tells_stories=has_stories, moves=moves)


def _event(number: int) -> Metric:
    """One of the several hundred metrics of a large account: three pages of them."""
    return Metric(f"Rz{number:04d}", f"Custom Event {number + 1:03d}", _ODD_API, 0.02)


def _as_draft(flow: Flow) -> Flow:
    messages = tuple(replace(m, per_day=0.0, status="draft", variations=()) for m in flow.messages)
    return replace(flow, status="draft", messages=messages)


_WORDS = ("Tents", "Boots", "Jackets", "Stoves", "Packs", "Lamps", "Maps", "Ropes", "Skis", "Socks")
_TRIGGERS = ("RplOrd", "RplChk", "RplCrt", "RplVwd", "RplFul", "RjReqs", "RaActv")


def _copy(number: int) -> Flow:
    """One of the several hundred flows of a large account."""
    model = FLOWS[number % 6]
    name = f"{model.name}: {_WORDS[number % 10]} {number // 10 + 1:02d}"
    messages: list[Message] = [
        replace(m, id=f"M{number:03d}{index}x", name=f"{name}, {m.channel} {index + 1}", variations=(),
                per_day=m.per_day / (8 + number % 23))
        for index, m in enumerate(model.messages[:2])
    ]  # fmt: skip
    return replace(model, id=f"Fl{number:04d}", name=name, metric_id=_TRIGGERS[number % 7], messages=tuple(messages),
                   tags=())  # fmt: skip
