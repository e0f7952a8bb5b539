"""A small project without tables, retrained by the day."""

from __future__ import annotations

import headrace as hr
from headrace import Int, Str, Stream, Time, future, window


class Sale(Stream, topic="shop.sales", key="sku", time="sold_at", lateness="1h"):
    sku: Str
    units: Int
    sold_at: Time


shop = hr.Project("shop", entity="sku")


@shop.check(Sale)
def valid(sale):
    return {"units": sale.units >= 0}


@shop.windows(Sale, every="1h")
def history(sale):
    return {"units_1d": window.sum(sale.units, "1d", by="sku")}


@shop.features
def now(history):
    return {"units_1d": history.units_1d}


@shop.label(Sale, examples=hr.grid("1d", active="7d"))
def units_next_1d(sale):
    return future.sum(sale.units, "1d")


@shop.model(seed=1)
def train(x, y, depth: int = 2):
    from xgboost import XGBRegressor

    return XGBRegressor(n_estimators=4, max_depth=depth).fit(x, y)


shop.monitor(mae=hr.rises(0.1, minimum=1))
shop.retrain(every="1d", cooldown="1d", holdout="1d")
