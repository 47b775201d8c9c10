"""A small shop: an order is stored and its mail enqueued in one transaction, without stopping the event loop."""

from contextlib import asynccontextmanager

from fastapi import FastAPI, HTTPException
from pydantic import BaseModel
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from cronq import Cronq

queue = Cronq.from_config()
engine = create_async_engine(f"sqlite+aiosqlite:///{queue.config.sqlite_path()}", connect_args={"timeout": 30})


@queue.around_child
async def connections():
    """Close the pool of a child that runs jobs, on its event loop."""
    async with engine.connect():  # its thread belongs to the child, not to the first job
        pass
    yield
    await engine.dispose()


@queue.task(max_attempts=5)
async def confirm(order: int) -> str:
    async with engine.begin() as connection:
        await connection.execute(text("UPDATE orders SET confirmed = confirmed + 1 WHERE id = :id"), {"id": order})
    return f"confirmed order {order}"


@queue.task
async def count(page: str) -> str:
    return page


@asynccontextmanager
async def lifespan(app: FastAPI):
    async with engine.begin() as connection:
        await connection.execute(
            text(
                "CREATE TABLE IF NOT EXISTS orders (id INTEGER PRIMARY KEY, customer TEXT, confirmed INTEGER DEFAULT 0)"
            )
        )
    async with queue.alifespan():
        yield
    await engine.dispose()


app = FastAPI(lifespan=lifespan)


class NewOrder(BaseModel):
    customer: str


@app.post("/orders", status_code=202)
async def order(new: NewOrder) -> dict[str, int]:
    async with engine.begin() as connection:
        stored = await connection.execute(text("INSERT INTO orders (customer) VALUES (:customer)"), new.model_dump())
        job = await confirm.using(connection=connection).aenqueue(stored.lastrowid)
        if not new.customer:
            raise HTTPException(422, "customer: may not be empty")  # neither an order nor a job
    return {"order": stored.lastrowid, "job": job.id}


@app.post("/views/{page}", status_code=202)
async def view(page: str) -> dict[str, int]:
    job = await count.aenqueue(page)
    return {"job": job.id}


@app.get("/jobs/{number}")
async def result(number: int) -> dict[str, object]:
    job = await queue.aget(number)
    if job is None:
        raise HTTPException(404)
    return {"state": job.state, "result": job.result}
