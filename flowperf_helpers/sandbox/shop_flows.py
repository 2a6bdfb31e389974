"""The flows of Nordlys Outfitters, one line per message.

Rates are true probabilities per delivered message; the planted stories change some of them on some days.
"""

from __future__ import annotations

from datetime import date

from flowperf_helpers.sandbox.model import FIRST_DAY, Flow, Message, Variation

__all__ = ["FLOWS", "TEST_STARTS"]

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
