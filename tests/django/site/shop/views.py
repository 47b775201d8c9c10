"""Views that enqueue."""

from django.db import transaction
from django.http import HttpResponse
from shop.tasks import add


def order(_request: object) -> HttpResponse:
    """Enqueue without a transaction, and tell the id."""
    return HttpResponse(add.enqueue(1, b=2).id)


@transaction.atomic
def order_and_fail(_request: object) -> HttpResponse:
    """Enqueue in a transaction that is rolled back."""
    job = add.enqueue(1, b=2).id
    transaction.set_rollback(True)
    return HttpResponse(job)
