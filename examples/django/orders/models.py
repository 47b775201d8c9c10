"""Orders."""

from django.db import models


class Order(models.Model):
    """One order of a customer, and how often it was confirmed."""

    mail = models.EmailField()
    confirmations = models.IntegerField(default=0)

    def __str__(self) -> str:
        return f"order {self.pk} of {self.mail}"
