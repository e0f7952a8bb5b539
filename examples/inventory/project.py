"""Demand of a product category in a store over the next 7 days, from purchases as they happen."""

import headrace as hr
from headrace import Float, Int, Null, Str, Stream, Table, Time, future, window


class Product(Table, source="data/products.parquet", key="product_id", refresh="7d"):
    product_id: Int
    category: Null[Str]
    department: Null[Str]


class Store(Table, source="data/stores.csv", key="store_id", refresh="7d"):
    store_id: Int
    region: Str


class Supplier(Table, source="data/suppliers.csv", key="category", refresh="7d"):
    category: Str
    supplier: Str
    lead_days: Int


class Purchase(Stream, topic="inventory.purchases", key="store_id", time="sold_at", lateness="1h"):
    store_id: Int
    product_id: Int
    household_id: Int
    units: Int
    price: Float
    sold_at: Time


demand = hr.Project("demand", entity=("category", "store_id"), timezone="America/New_York", holidays="US")


@demand.check(Purchase)
def valid(purchase: Purchase):
    return {"units": purchase.units.between(1, 1000), "price": purchase.price >= 0}


@demand.enrich(Purchase, Product, Store)
def sold(purchase: Purchase, product: Product, store: Store):
    return {
        "category": product.category.fill_null("OTHER"),
        "region": store.region.fill_null("unknown"),
        "revenue": purchase.units * purchase.price,
    }


@demand.windows(Purchase, every="1d")
def history(purchase):
    here = ("category", "store_id")
    return {
        "units_7d": window.rate(purchase.units, "7d", per="1d", by=here),
        "units_28d": window.rate(purchase.units, "28d", per="1d", by=here),
        "sales_7d": window.count("7d", by=here),
        "price_28d": window.mean(purchase.price, "28d", by=here),
        "category_region_7d": window.rate(purchase.units, "7d", per="1d", by=("category", "region")),
        "category_region_28d": window.rate(purchase.units, "28d", per="1d", by=("category", "region")),
        "store_7d": window.rate(purchase.revenue, "7d", per="1d", by="store_id"),
    }


@demand.features
def now(request, history, supplier, calendar):
    return {
        "day_of_week": calendar.day_of_week,
        "month": calendar.month,
        "quarter": calendar.quarter,
        "holiday": calendar.is_holiday,
        "category_x_region": request.category + ":" + request.region,
        "units_7d": history.units_7d,
        "units_28d": history.units_28d,
        "sales_7d": history.sales_7d,
        "price_28d": history.price_28d,
        "regional_7d": history.category_region_7d,
        "trend": history.units_7d / history.units_28d.nullif(0.0),
        "regional_trend": history.category_region_7d / history.category_region_28d.nullif(0.0),
        "share": history.units_7d / history.category_region_7d.nullif(0.0),
        "store_7d": history.store_7d,
        "lead_days": supplier.lead_days,
    }


@demand.label(Purchase, examples=hr.grid("7d", active="28d"))
def units_next_7d(purchase):
    return future.sum(purchase.units, "7d")


@demand.model(seed=7)
def train(x, y, max_depth: int = 6, trees: int = 100, learning_rate: float = 0.1):
    from xgboost import XGBRegressor  # here, so that only training pays for the import

    model = XGBRegressor(
        objective="reg:absoluteerror",
        n_estimators=trees,
        max_depth=max_depth,
        learning_rate=learning_rate,
        min_child_weight=20,
        enable_categorical=True,
        tree_method="hist",
    )
    return model.fit(x, y)


demand.monitor(mae=hr.rises(0.25, over="7d"), psi=hr.above(0.5, over="7d"))
demand.retrain(on=("mae",), cooldown="28d", holdout="7d", promote=hr.better("mae", by=0.01))
demand.waive(
    "constants",
    feature="day_of_week",
    because="the weekly grid puts every example on one weekday; a daily grid would tell them apart",
)
