"""Every aggregate over every type, by one key and by two, at three hops, and a table that is dated ahead.

For the law of training and serving."""

import headrace as hr
from headrace import Bool, Float, Int, Null, Str, Stream, Table, Time, future, window


class Event(Stream, topic="law.events", key="k", time="at", lateness="10m"):
    k: Null[Str]
    g: Null[Int]
    i: Null[Int]
    f: Null[Float]
    s: Null[Str]
    b: Null[Bool]
    at: Time


class Price(Table, source="prices.csv", key="k", valid_from="since"):
    k: Str
    cents: Null[Int]
    since: Time


law = hr.Project("law", entity=("k", "g"))


@law.windows(Event, every="10s")
def fast(event):
    return {
        "count": window.count("10s", by="k"),
        "sum_i": window.sum(event.i, "30s", by="k"),
        "max_f": window.max(event.f, "30s", by="k"),
        "variance_f": window.variance(event.f, "30s", by="k"),
        "last_s": window.last(event.s, "30s", by="k"),
    }


@law.windows(Event, every="1m")
def slow(event):
    pair = ("k", "g")
    return {
        "count": window.count("5m", by=pair),
        "count_k": window.count("5m", by="k"),
        "sum_i": window.sum(event.i, "5m", by="k"),
        "sum_f": window.sum(event.f, "5m", by=pair),
        "rate_i": window.rate(event.i, "5m", per="1m", by="k"),
        "rate_f": window.rate(event.f, "2m", per="1m", by=pair),
        "mean_i": window.mean(event.i, "5m", by="k"),
        "mean_f": window.mean(event.f, "5m", by=pair),
        "min_i": window.min(event.i, "5m", by="k"),
        "max_i": window.max(event.i, "5m", by="k"),
        "min_f": window.min(event.f, "5m", by="k"),
        "min_s": window.min(event.s, "5m", by="k"),
        "max_s": window.max(event.s, "5m", by="k"),
        "max_b": window.max(event.b, "5m", by="k"),
        "min_at": window.min(event.at, "5m", by="k"),
        "variance_i": window.variance(event.i, "5m", by="k"),
        "stddev_f": window.stddev(event.f, "5m", by=pair),
        "first_i": window.first(event.i, "5m", by="k"),
        "last_i": window.last(event.i, "1m", by="k"),
        "first_b": window.first(event.b, "5m", by="k"),
        "last_at": window.last(event.at, "5m", by="k"),
    }


@law.windows(Event, every="5m")
def wide(event):
    return {"sum_f": window.sum(event.f, "10m", by="k"), "first_f": window.first(event.f, "10m", by="k")}


@law.features
def now(slow, price):
    return {"count": slow.count, "cents": price.cents}


@law.label(Event, examples=hr.grid("1h", active="1h"))
def later(event):
    return future.count("1h")


@law.model(seed=1)
def train(x, y):
    raise NotImplementedError
