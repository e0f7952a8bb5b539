"""A small fraud project: every payment is scored; a chargeback tells later."""

import headrace as hr
from headrace import Float, Str, Stream, Table, Time, outcome, window


class Merchant(Table, source="merchants.csv", key="merchant", refresh="1h"):
    merchant: Str
    sector: Str
    risk: Float


class Payment(Stream, topic="shop.payments", key="card", time="paid_at", lateness="5m"):
    payment_id: Str
    card: Str
    merchant: Str
    amount: Float
    paid_at: Time


class Chargeback(Stream, topic="shop.chargebacks", key="payment_id", time="filed_at", lateness="1h"):
    payment_id: Str
    lost: Float
    filed_at: Time


fraud = hr.Project("fraud", entity="card")


@fraud.check(Payment)
def valid(payment: Payment):
    return {"amount": payment.amount > 0}


@fraud.enrich(Payment, Merchant)
def known(payment: Payment, merchant: Merchant):
    return {"sector": merchant.sector.fill_null("unknown")}


@fraud.windows(Payment)
def recent(payment):
    return {
        "count_1h": window.count("1h", by="card"),
        "spent_1d": window.sum(payment.amount, "1d", by="card"),
        "max_7d": window.max(payment.amount, "7d", by="card"),
        "spread_7d": window.stddev(payment.amount, "7d", by="card"),
        "last_merchant": window.last(payment.merchant, "7d", by="card"),
        "sector_1d": window.mean(payment.amount, "1d", by="sector"),
    }


@fraud.features
def now(request, recent, merchant, calendar):
    return {
        "amount": request.amount,
        "hour": calendar.hour,
        "sector": request.sector,
        "risk": merchant.risk,
        "count_1h": recent.count_1h,
        "spent_1d": recent.spent_1d,
        "max_7d": recent.max_7d,
        "spread_7d": recent.spread_7d,
        "same_merchant": recent.last_merchant == request.merchant,
        "over_sector": request.amount / recent.sector_1d.nullif(0.0),
    }


@fraud.label(Chargeback, examples=hr.each(Payment))
def charged_back(chargeback):
    return outcome(chargeback.lost > 0, match="payment_id", within="3d")


@fraud.model(seed=11)
def train(x, y, max_depth: int = 4, trees: int = 60):
    from xgboost import XGBClassifier

    return XGBClassifier(n_estimators=trees, max_depth=max_depth, enable_categorical=True).fit(x, y)


fraud.monitor(auc=hr.falls(0.2, over="3d", minimum=50), psi=hr.above(0.25, over="1d", minimum=50))
fraud.retrain(on=("auc",), cooldown="3d", holdout="3d", promote=hr.better("average_precision", by=0.01))
