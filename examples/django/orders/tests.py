"""Tests of the shop: its tasks run inside the test's transaction."""

from cronq.django.testing import run_tasks
from django.test import TestCase
from orders.models import Order


class Orders(TestCase):
    """Orders and their confirmation."""

    def test_an_order_is_confirmed(self) -> None:
        """The task is enqueued with the order, and runs when the test says so."""
        answer = self.client.post("/orders/", {"mail": "ann@example.org"})
        self.assertEqual(answer.status_code, 200)
        (confirmed,) = run_tasks()
        self.assertEqual(confirmed.return_value, "order 1 is confirmed")
        self.assertEqual(Order.objects.get().confirmations, 1)

    def test_an_order_that_is_refused_leaves_nothing(self) -> None:
        """Neither the order nor its task."""
        self.assertEqual(self.client.post("/orders/", {"mail": "nobody"}).status_code, 400)
        self.assertEqual(run_tasks(), [])
        self.assertFalse(Order.objects.exists())
