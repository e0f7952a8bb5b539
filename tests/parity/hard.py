"""Every column type, checks of each kind, two joins, every family of tiles: for two engines and one hard input."""

import ibis

import headrace as hr
from headrace import Bool, Float, Int, Null, Str, Stream, Table, Time, future, window


class Supplier(Table, source="suppliers.csv", key="sku", refresh="1m"):
    sku: Str
    supplier: Null[Str]
    lead: Int
    weight: Null[Float]
    since: Null[Time]


class Region(Table, source="regions.csv", key=("country", "zone"), refresh="1m"):
    country: Str
    zone: Int
    name: Str


class Sale(Stream, topic="hard.sales", key="sku", time="sold_at", lateness="1m", skew="5s"):
    sku: Null[Str]
    country: Null[Str]
    zone: Null[Int]
    units: Int
    price: Null[Float]
    gift: Null[Bool]
    seen_at: Null[Time]
    sold_at: Time


hard = hr.Project("hard", entity=("sku", "gift", "country", "zone"))


@hard.check(Sale)
def valid(sale: Sale):
    return {
        "units": sale.units >= -1_000_000_000_000,
        "price": (sale.price >= 0) | sale.price.isnull(),
        "product": sale.units * sale.units >= 0,
        "known": sale.sku.length() > 0,
    }


@hard.enrich(Sale, Supplier, Region)
def sold(sale: Sale, supplier: Supplier, region: Region):
    return {
        "supplier": supplier.supplier.fill_null("other"),
        "region": region.name,
        "lead": supplier.lead,
        "revenue": sale.units * sale.price,
        "twice": (sale.units > 100).ifelse(sale.units + 9_223_372_036_854_775_000, sale.units * 2),
        "due": sale.sold_at + ibis.interval(days=1),
        "upper": sale.sku.upper(),
    }


@hard.windows(Sale, every="10s")
def fast(sale):
    return {
        "count": window.count("1m", by="sku"),
        "units": window.sum(sale.units, "1m", by="sku"),
        "revenue": window.sum(sale.revenue, "1m", by=("sku", "gift")),
        "most": window.max(sale.price, "1m", by="region"),
    }


@hard.windows(Sale, every="1m")
def slow(sale):
    pair = ("sku", "zone")
    return {
        "units": window.sum(sale.units, "5m", by=pair),
        "least_text": window.min(sale.upper, "5m", by="supplier"),
        "most_gift": window.max(sale.gift, "5m", by="sku"),
        "seen": window.min(sale.seen_at, "5m", by="sku"),
        "spread": window.stddev(sale.price, "5m", by="sku"),
        "spread_units": window.variance(sale.units, "5m", by="sku"),
        "first_price": window.first(sale.price, "5m", by="sku"),
        "last_supplier": window.last(sale.supplier, "5m", by="zone"),
        "last_units": window.last(sale.units, "5m", by="gift"),
        "last_seen": window.last(sale.seen_at, "5m", by="sku"),
        "doubled": window.sum(sale.units * 2, "5m", by="sku"),
    }


@hard.features
def now(slow):
    return {"units": slow.units}


@hard.label(Sale, examples=hr.grid("1h", active="1h"))
def later(sale):
    return future.count("1h")


@hard.model(seed=1)
def train(x, y):
    raise NotImplementedError
