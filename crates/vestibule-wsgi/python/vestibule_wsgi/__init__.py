"""Serves Python WSGI apps from Rust. The command is `vestibule-wsgi`, or `python -m vestibule_wsgi`."""
