"""Whether a card payment will be charged back, at the moment at which it is asked for."""

import headrace as hr
from headrace import Float, Str, Stream, Table, Time, outcome, window


class Merchant(Table, source="postgresql:///#merchants", key="merchant", refresh="1h"):
    # Which server, PGHOST and the other variables of PostgreSQL's own clients say: no address and no password here.
    merchant: Str
    sector: Str
    country: Str
    risk: Float


class Payment(Stream, topic="cards.payments", key="card", time="paid_at", lateness="10m"):
    payment_id: Str
    card: Str
    merchant: Str
    amount: Float
    channel: Str
    country: Str
    paid_at: Time


class Chargeback(Stream, topic="cards.chargebacks", key="payment_id", time="filed_at", lateness="1h"):
    payment_id: Str
    merchant: Str
    amount: Float
    filed_at: Time


fraud = hr.Project("fraud", entity="card", timezone="Europe/Berlin")


@fraud.check(Payment)
def valid(payment: Payment):
    return {"amount": payment.amount.between(0.01, 100_000.0), "channel": payment.channel.isin(["store", "online"])}


@fraud.enrich(Payment, Merchant)
def known(payment: Payment, merchant: Merchant):
    return {"sector": merchant.sector.fill_null("unknown")}


@fraud.windows(Payment, every="5m")
def lately(payment):
    return {
        "card_count_5m": window.count("5m", by="card"),
        "card_count_1h": window.count("1h", by="card"),
        "card_max_1h": window.max(payment.amount, "1h", by="card"),
        "merchant_count_5m": window.count("5m", by="merchant"),
        "merchant_mean_1h": window.mean(payment.amount, "1h", by="merchant"),
    }


@fraud.windows(Payment, every="1h")
def this_week(payment):
    return {
        "card_count_1d": window.count("1d", by="card"),
        "card_spent_1d": window.sum(payment.amount, "1d", by="card"),
        "card_last_country": window.last(payment.country, "7d", by="card"),
        "merchant_count_1d": window.count("1d", by="merchant"),
        "merchant_mean_7d": window.mean(payment.amount, "7d", by="merchant"),
    }


@fraud.windows(Payment, every="1d")
def this_month(payment):
    return {
        "card_count_30d": window.count("30d", by="card"),
        "card_mean_30d": window.mean(payment.amount, "30d", by="card"),
        "card_spread_30d": window.stddev(payment.amount, "30d", by="card"),
        "card_max_30d": window.max(payment.amount, "30d", by="card"),
        "visits_30d": window.count("30d", by=("card", "merchant")),
        "merchant_count_30d": window.count("30d", by="merchant"),
    }


@fraud.windows(Chargeback, every="1h")
def complaints(chargeback):
    return {"merchant_7d": window.count("7d", by="merchant")}


@fraud.windows(Chargeback, every="1d")
def old_complaints(chargeback):
    return {"merchant_30d": window.count("30d", by="merchant")}


@fraud.features
def now(request, lately, this_week, this_month, complaints, old_complaints, merchant, calendar):
    return {
        "amount": request.amount,
        "channel": request.channel,
        "sector": request.sector,
        "risk": merchant.risk,
        "hour": calendar.hour,
        "night": calendar.hour < 6,
        "day_of_week": calendar.day_of_week,
        "card_count_5m": lately.card_count_5m,
        "card_count_1h": lately.card_count_1h,
        "over_max_1h": request.amount / lately.card_max_1h,
        "card_count_1d": this_week.card_count_1d,
        "card_spent_1d": this_week.card_spent_1d,
        "card_count_30d": this_month.card_count_30d,
        "over_mean": request.amount / this_month.card_mean_30d.nullif(0.0),
        "deviation": (request.amount - this_month.card_mean_30d) / this_month.card_spread_30d.nullif(0.0),
        "over_max_30d": request.amount / this_month.card_max_30d,
        "new_merchant": this_month.visits_30d == 0,
        "new_country": this_week.card_last_country != request.country,
        "abroad": merchant.country != request.country,
        "merchant_count_5m": lately.merchant_count_5m,
        "merchant_rush": this_week.merchant_count_1d / this_month.merchant_count_30d.nullif(0),
        "over_merchant_1h": request.amount / lately.merchant_mean_1h.nullif(0.0),
        "over_merchant_7d": request.amount / this_week.merchant_mean_7d.nullif(0.0),
        "complaints_7d": complaints.merchant_7d,
        "complaint_rate_30d": old_complaints.merchant_30d / this_month.merchant_count_30d.nullif(0),
    }


@fraud.label(Chargeback, examples=hr.each(Payment))
def charged_back(chargeback):
    return outcome(chargeback.amount > 0, match="payment_id", within="5d")


@fraud.model(seed=11, cost=hr.cost(missed="amount", false_alarm=5.0))
def train(x, y, max_depth: int = 5, trees: int = 150, learning_rate: float = 0.1, weight: float = 10.0):
    from xgboost import XGBClassifier  # here, so that only training pays for the import

    model = XGBClassifier(
        n_estimators=trees,
        max_depth=max_depth,
        learning_rate=learning_rate,
        scale_pos_weight=weight,  # fraud is rare; the threshold is chosen by cost, so nothing relies on calibration
        min_child_weight=5,
        subsample=0.8,
        enable_categorical=True,
        tree_method="hist",
        random_state=11,
    )
    return model.fit(x, y)


fraud.monitor(
    auc=hr.falls(0.05, over="7d"),
    average_precision=hr.falls(0.3, over="7d"),
    cost=hr.rises(0.5, over="7d"),
    psi=hr.above(0.25, over="7d"),
)
fraud.retrain(
    on=("average_precision", "cost"),
    every="7d",
    cooldown="6d",
    holdout="7d",
    promote=hr.better("average_precision", by=0.01),
)
