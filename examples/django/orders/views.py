"""Pages of the shop."""

from django.db import transaction
from django.http import HttpRequest, HttpResponseBadRequest, JsonResponse
from django.views.decorators.csrf import csrf_exempt
from orders.models import Order
from orders.tasks import confirm


@csrf_exempt
def place(request: HttpRequest) -> JsonResponse | HttpResponseBadRequest:
    """Store an order and enqueue its confirmation: both or neither."""
    with transaction.atomic():
        order = Order.objects.create(mail=request.POST.get("mail", ""))
        result = confirm.enqueue(order.pk)
        if "@" not in order.mail:
            transaction.set_rollback(True)
            return HttpResponseBadRequest("mail: an address is needed")
    return JsonResponse({"order": order.pk, "task": result.id})


def show(_request: HttpRequest, number: int) -> JsonResponse:
    """Show an order."""
    order = Order.objects.get(pk=number)
    return JsonResponse({"mail": order.mail, "confirmations": order.confirmations})
