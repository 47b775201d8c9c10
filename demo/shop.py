"""The app of the demo: a shop with a task that works, and one whose first attempt fails."""

from __future__ import annotations

from cronq import Cronq, current_job

queue = Cronq.from_config()


@queue.task(name="mail.send", queue="mail", priority=10)
def send_mail(to: str, subject: str) -> str:
    """Pretend to send a mail."""
    print(f"to {to}: {subject}")
    return f"sent to {to}"


@queue.task(name="payment.collect", max_attempts=3)
def collect_payment(order: int) -> int:
    """Fail as banks do: the first time."""
    if current_job().attempt == 1:
        raise ConnectionError(f"the bank did not answer for order {order}")
    return order


@queue.task(name="stock.count")
def count_stock(shelf: int) -> int:
    """One of a series that must not overlap."""
    return shelf
