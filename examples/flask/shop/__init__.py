"""A small shop: an order is stored and its mail enqueued in one transaction."""

from pathlib import Path

from flask import Flask, jsonify, request

from shop.extensions import db, queue
from shop.models import Order
from shop.tasks import confirm, count

DATABASE = f"sqlite:///{Path(__file__).parent.parent / 'shop.db'}"


def create_app():
    app = Flask(__name__)
    app.config["SQLALCHEMY_DATABASE_URI"] = app.config["CRONQ_DATABASE"] = DATABASE
    app.config["SQLALCHEMY_ENGINE_OPTIONS"] = {"connect_args": {"timeout": 30}}
    db.init_app(app)
    queue.init_app(app)
    with app.app_context():
        db.create_all()

    @app.post("/orders")
    def order():
        new = Order(customer=request.json["customer"])
        db.session.add(new)
        db.session.flush()
        job = confirm.using(connection=db.session, key=f"order-{new.id}").enqueue(new.id)
        if not new.customer:
            db.session.rollback()  # neither an order nor a job
            return jsonify(error="customer: may not be empty"), 422
        db.session.commit()
        return jsonify(order=new.id, job=job.id), 202

    @app.post("/views/<page>")
    def view(page):
        return jsonify(job=count.enqueue(page).id), 202

    @app.get("/orders/<int:number>")
    def show(number):
        found = db.get_or_404(Order, number)
        return jsonify(customer=found.customer, confirmed=found.confirmed)

    return app
