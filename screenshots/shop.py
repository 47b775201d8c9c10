"""The app in the pictures: a shop on an ordinary, slightly unlucky day."""

from __future__ import annotations

import time

from cronq import Cronq, Fail, Snooze, current_job

queue = Cronq.from_config()


@queue.task(name="mail.send", queue="mail", priority=10)
def send_mail(to: str, subject: str) -> str:
    """Greet all customers that can be reached."""
    if "nowhere" in to:
        raise ConnectionError(f"mail.{to.partition('@')[2]} refused the connection")
    print(f"to {to}: {subject}")
    return f"sent to {to}"


@queue.task(name="payment.collect", queue="money", max_attempts=3)
def collect_payment(order: int, card: str) -> int:
    """Fail as banks do."""
    if card == "expired":
        raise Fail(f"the card of order {order} has expired")
    ask_the_bank(order)
    return order


def ask_the_bank(order: int) -> None:
    """Take its time to say no."""
    print(f"asking the bank for order {order}")
    raise TimeoutError(f"the bank did not answer for order {order}")


@queue.task(name="stock.count")
def count_stock(shelf: int) -> int:
    """One of a series that must not overlap."""
    return shelf * 7


@queue.task(name="invoice.book", queue="money")
def book_invoice(number: int) -> None:
    """Wait for the tax office."""
    raise Snooze("30m", f"the tax office has not confirmed invoice {number} yet")


@queue.task(name="thumbnail.make", queue="pictures")
def make_thumbnail(url: str, seconds: float = 0.02) -> str:
    """Take as long as it is told."""
    steps = max(1, round(seconds))
    for step in range(steps):
        print(f"{url}: {100 * step // steps} %")
        time.sleep(seconds / steps)
    if current_job().attempt == 1 and url.endswith("odd.png"):
        current_job().warn("no colour profile, took sRGB")
    return url.replace(".png", ".jpg")
