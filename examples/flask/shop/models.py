from shop.extensions import db


class Order(db.Model):
    id = db.Column(db.Integer, primary_key=True)
    customer = db.Column(db.String(200), nullable=False)
    confirmed = db.Column(db.Boolean, nullable=False, default=False)
