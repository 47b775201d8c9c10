from shop.extensions import db, queue
from shop.models import Order


@queue.task(max_attempts=5)
def confirm(order: int) -> str:
    """Confirm an order; runs inside the application's context, so `db.session` works."""
    found = db.session.get(Order, order)
    found.confirmed = True
    db.session.commit()
    return f"confirmed order {order} of {found.customer}"


@queue.task
def count(page: str) -> str:
    return page
