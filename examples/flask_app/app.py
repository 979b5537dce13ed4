"""A Flask app with templates, sessions and an upload, to be hosted:

    vestibule wsgi app:app --static /static=./static
"""

import hashlib
import os
import secrets

from flask import Flask, abort, flash, redirect, render_template, request, session, url_for

# Files come from the server, beside the app.
app = Flask(__name__, static_folder=None)
# Workers share it: `VESTIBULE_SECRET=... vestibule wsgi app:app`.
app.secret_key = os.environ.get("VESTIBULE_SECRET") or "only for development"


@app.get("/")
def index():
    session.setdefault("token", secrets.token_urlsafe(16))
    return render_template("index.html", name=session.get("name"))


@app.post("/name")
def name():
    check()
    session["name"] = request.form["name"].strip()[:40]
    return redirect(url_for("index"))


@app.post("/upload")
def upload():
    check()
    file = request.files["file"]
    length, digest = 0, hashlib.sha256()
    while block := file.stream.read(65536):
        length += len(block)
        digest.update(block)
    flash(f"{file.filename}: {length} bytes, SHA-256 {digest.hexdigest()[:16]}")
    return redirect(url_for("index"))


@app.post("/leave")
def leave():
    check()
    session.clear()
    return redirect(url_for("index"))


@app.get("/count")
def count():
    """A page that comes line by line."""

    def lines():
        for number in range(1, 6):
            yield f"line {number}\n"

    return app.response_class(lines(), mimetype="text/plain")


def check():
    """A form of ours, and not of another site (CSRF)."""
    if not secrets.compare_digest(request.form.get("token", ""), session.get("token", " ")):
        abort(400, "the form is too old: load the page again")
