"""Says what it saw of a request; does not read the body below /ignore."""

from urllib.parse import quote


def app(environ, start_response):
    target = quote(environ["SCRIPT_NAME"] + environ["PATH_INFO"], safe="/*")
    if environ["QUERY_STRING"]:
        target += "?" + environ["QUERY_STRING"]
    said = f"{environ['REQUEST_METHOD']} {target}"
    if "HTTP_HOST" in environ:
        said += f" at {environ['HTTP_HOST']}"
    status = "200 OK"
    if any(byte in environ.get("HTTP_X", "") for byte in "\r\n\0"):
        said = "raw bytes in a field"
    elif not target.startswith("/ignore"):
        try:
            if body := environ["wsgi.input"].read():
                said += f" [{body.decode('latin-1')}]"
        except Exception as error:
            status, said = "400 Bad Request", repr(error)
    said = said.encode("latin-1", "replace")
    start_response(status, [("Content-Type", "text/plain"), ("Content-Length", str(len(said)))])
    return [said]
