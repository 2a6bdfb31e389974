"""The metrics of Nordlys Outfitters: several integrations, one name twice, a few odd ones as everywhere."""

from __future__ import annotations

from flowperf_helpers.sandbox.model import Metric

__all__ = ["METRICS"]


def _integration(id_: str, key: str, name: str, category: str) -> dict[str, str | None]:
    return {"object": "integration", "id": id_, "key": key, "name": name, "category": category}


_SHOPIFY = _integration("0eMvjm", "shopify", "Shopify", "eCommerce")
_WOO = _integration("0cVb4R", "woocommerce", "WooCommerce", "eCommerce")
_KLAVIYO = _integration("0rG4eK", "klaviyo", "Klaviyo", "Internal")
_API = _integration("7FtS4J", "api", "API", "API")
_JUDGE = _integration("0qJdMe", "judgeme", "Judge.me", "Reviews")
_LOYALTY = _integration("0lOyAl", "loyaltylion", "LoyaltyLion", "Loyalty")
_RECHARGE = _integration("0rEcHa", "recharge", "Recharge", "Subscriptions")
# the guide's app: its integration shows an id and a name and nothing else
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
