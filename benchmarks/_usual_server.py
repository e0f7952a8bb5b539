"""What is usually written: FastAPI, pydantic, a model by joblib, a pandas frame a request. It looks nothing up."""

from __future__ import annotations

import sys
from pathlib import Path

import joblib
import pandas as pd
import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel

folder = Path(sys.argv[1])
model = joblib.load(folder / "model.joblib")
levels = joblib.load(folder / "levels.joblib")
app = FastAPI()


class Vector(BaseModel):
    """Every feature, by the caller."""

    amount: float
    hour: int
    sector: str
    risk: float | None = None
    count_1h: int | None = None
    spent_1d: float | None = None
    max_7d: float | None = None
    spread_7d: float | None = None
    same_merchant: bool | None = None
    over_sector: float | None = None


@app.post("/predict")
async def predict(vector: Vector) -> dict[str, float]:
    frame = pd.DataFrame([vector.model_dump()])
    for name, known in levels.items():
        frame[name] = pd.Categorical(frame[name], categories=known)
    for name in frame.columns.difference(list(levels)):
        frame[name] = frame[name].astype("float64")
    return {"prediction": float(model.predict_proba(frame)[0, 1])}


uvicorn.run(app, port=int(sys.argv[2]), log_level="warning", access_log=False)
