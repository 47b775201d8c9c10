"""Serve the pages in a Django project: `path("cronq/", include("cronq.web.django.urls"))`."""
