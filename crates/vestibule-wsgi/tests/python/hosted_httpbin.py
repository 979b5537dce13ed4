"""A pytest plugin in place of pytest-httpbin's: `httpbin` is the server that HTTPBIN_URL names.

    pytest -p no:httpbin -p hosted_httpbin tests
"""

import os
from urllib.parse import urljoin

import pytest
from pytest_httpbin.plugin import httpbin_both, httpbin_ca_bundle, httpbin_secure  # noqa: F401


class Hosted:
    url = os.environ["HTTPBIN_URL"]

    def __add__(self, path):
        return self.url + path

    def join(self, path, allow_fragments=True):
        return urljoin(self.url, path, allow_fragments)


@pytest.fixture(scope="session")
def httpbin():
    return Hosted()
