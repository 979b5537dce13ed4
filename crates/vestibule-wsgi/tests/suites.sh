#!/bin/sh
# The suites of others, on a host of Python apps: `vestibule`, or `gunicorn` to compare (Django's own server, for its suite).
#
# It downloads sdists from PyPI to target/wsgi-suites, and takes some minutes. To be run from the repository's root, after
# `cargo xtask wsgi`, which makes the environment.
set -eu
host=${1:-vestibule}
root=$PWD
bin=$root/target/wsgi-venv/bin
tests=$root/crates/vestibule-wsgi/tests/python
mkdir -p target/wsgi-suites
cd target/wsgi-suites

"$bin/pip" install -q httpbin pytest-httpbin pytest-mock PySocks trustme gunicorn requests
django=$("$bin/python" -c 'import django; print(django.__version__)')
"$bin/pip" download -q --no-deps --no-binary :all: requests "django==$django"
for sdist in *.tar.gz; do tar xzf "$sdist"; done

port=18642
case $host in
    gunicorn) "$bin/gunicorn" httpbin:app --bind 127.0.0.1:$port --workers 2 --threads 4 > $host.log 2>&1 & ;;
    *) "$bin/vestibule-wsgi" httpbin:app --listen 127.0.0.1:$port --processes 2 --threads 4 --no-compression > $host.log 2>&1 & ;;
esac
server=$!
trap 'kill $server' EXIT
until "$bin/python" -c "import socket; socket.create_connection(('127.0.0.1', $port))" 2> /dev/null; do sleep 0.2; done

echo "requests against httpbin on $host:"
(cd requests-*/ && HTTPBIN_URL=http://127.0.0.1:$port PYTHONPATH=$tests "$bin/python" -m pytest -q -o addopts= -p no:httpbin -p hosted_httpbin tests) \
    > requests-$host.txt 2>&1 || true
grep -E '^FAILED|^ERROR|^[0-9]+ (failed|passed)' requests-$host.txt

case $host in gunicorn) live=django ;; *) live=vestibule ;; esac
echo "Django's tests/servers and tests/wsgi on the server of $live:"
(cd django-*/tests && "$bin/python" "$tests/django_suite.py" $live --parallel 1 servers wsgi) > django-$live.txt 2>&1 || true
grep -E '^(FAIL|ERROR|Ran|OK|FAILED)' django-$live.txt
