"""Define views that enqueue."""

from django.db import transaction
from django.http import HttpResponse
from shop.tasks import add


def order(_request: object) -> HttpResponse:
    """Enqueue without a transaction; answer with the id."""
    return HttpResponse(add.enqueue(1, b=2).id)


@transaction.atomic
def order_and_fail(_request: object) -> HttpResponse:
    """Enqueue in a transaction that is rolled back; answer with the id."""
    job = add.enqueue(1, b=2).id
    transaction.set_rollback(True)
    return HttpResponse(job)
