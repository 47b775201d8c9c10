"""What is done outside of a request."""

from importlib.util import find_spec

from django.db.models import F

if find_spec("django.tasks"):
    from django.tasks import task
else:
    from django_tasks import task

from orders.models import Order


@task
def confirm(order: int) -> str:
    """Confirm an order; here it is only counted."""
    Order.objects.filter(pk=order).update(confirmations=F("confirmations") + 1)
    return f"order {order} is confirmed"
