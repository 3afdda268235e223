"""A FastAPI route as APIs have them: a query parameter, a model, JSON."""

from fastapi import FastAPI
from pydantic import BaseModel

app = FastAPI()


class Item(BaseModel):
    """What is answered."""

    name: str
    price: float
    tags: list[str]


@app.get("/")
async def item(count: int = 3) -> Item:
    """Answer with a small model."""
    return Item(name="turbine", price=9.5, tags=["pinned"] * count)
