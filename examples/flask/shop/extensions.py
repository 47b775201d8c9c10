from flask_sqlalchemy import SQLAlchemy

from cronq.flask import FlaskCronq

db = SQLAlchemy()
queue = FlaskCronq()
