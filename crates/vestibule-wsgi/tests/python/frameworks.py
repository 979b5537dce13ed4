"""Flask and Django between `wsgiref.validate` and Werkzeug's lint."""

import warnings
from wsgiref.validate import validator

import django
import flask
from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import FileResponse, HttpResponse, JsonResponse, StreamingHttpResponse
from django.urls import path
from werkzeug.middleware.lint import HTTPWarning, LintMiddleware, WSGIWarning

from probes import CONTENT, a_file

# What the checkers have to say is an error, and so a 500 with a traceback in the log.
warnings.simplefilter("error", WSGIWarning)
warnings.simplefilter("error", HTTPWarning)
# What the lint says of Flask itself, on every host: a relative redirect (RFC 9110 allows it), no body for HEAD,
# and a read to the end, which `wsgi.input_terminated` allows.
warnings.filterwarnings("ignore", "Absolute URLs required", HTTPWarning)
warnings.filterwarnings("ignore", "Content-Length and the number of bytes", WSGIWarning)
warnings.filterwarnings("ignore", "WSGI does not guarantee an EOF", WSGIWarning)

site = flask.Flask(__name__)
site.secret_key = "for tests"


@site.get("/")
def hello():
    return "hello"


@site.post("/form")
def form():
    upload = flask.request.files["upload"]
    return {"name": upload.filename, "length": len(upload.read()), "text": flask.request.form["text"]}


@site.post("/json")
def as_json():
    return flask.jsonify(flask.request.get_json())


@site.get("/login/<name>")
def login(name):
    flask.session["name"] = name
    return flask.redirect("/who")


@site.get("/who")
def who():
    return flask.session.get("name", "nobody")


@site.get("/stream")
def stream():
    return flask.Response((f"line {number}\n" for number in range(100)), mimetype="text/plain")


@site.get("/file")
def file():
    return flask.send_file(a_file(), mimetype="text/plain", conditional=False)


@site.get("/boom")
def boom():
    raise ValueError("boom")


settings.configure(
    DEBUG=False,
    ALLOWED_HOSTS=["*"],
    ROOT_URLCONF=__name__,
    SECRET_KEY="for tests",
    MIDDLEWARE=["django.middleware.common.CommonMiddleware", "django.middleware.gzip.GZipMiddleware"],
    LOGGING_CONFIG=None,
)
django.setup()

urlpatterns = [
    path("", lambda request: HttpResponse("hello", content_type="text/plain")),
    path("json", lambda request: JsonResponse({"body": request.body.decode(), "query": dict(request.GET)})),
    path("upload", lambda request: JsonResponse({"length": request.FILES["upload"].size})),
    path("stream", lambda request: StreamingHttpResponse((f"line {number}\n" for number in range(100)), content_type="text/plain")),
    path("file", lambda request: FileResponse(a_file(), content_type="text/plain")),
    path("boom", lambda request: 1 / 0),
]


class ReadsAll:
    """Flask reads to the end by `read()`, which the validator forbids and `wsgi.input_terminated` allows."""

    def __init__(self, source):
        self.source = source

    def __getattr__(self, name):
        return getattr(self.source, name)

    def __iter__(self):
        return iter(self.source)

    def read(self, size=-1):
        return self.source.read(size)


def between(app):
    """The validator outside: it gives the app's side only what it must."""
    inner = LintMiddleware(app)
    return validator(lambda environ, start_response: inner({**environ, "wsgi.input": ReadsAll(environ["wsgi.input"])}, start_response))


flask_app = between(site)
django_app = between(get_wsgi_application())
