# The moves of the house. `just` lists them.

default:
    @just --list

# Everything that CI runs: installs what the tests need, then fmt, clippy, tests, docs.
check:
    cargo xtask test

# The benchmarks, with a count of instructions and allocations for each.
bench:
    cargo bench

# Slow and many clients, 2,000 at a time, beside nginx (five minutes).
hostile:
    cargo bench --bench hostile

# The server ends while clients ask it, 200 times with and without workers: no request may be lost (minutes).
ends runs="200":
    VESTIBULE_ENDS={{runs}} cargo test -p vestibule-cli --all-features --locked --test main -- --nocapture --exact limits::no_request_that_was_sent_is_lost_at_the_end

# HTTP/2 by h2spec, in the clear and by TLS, beside hyper: `just h2spec PROGRAM`, its path (it is in no registry).
h2spec program:
    cargo bench -p vestibule --features tls-self-signed --bench server -- h2spec {{absolute_path(program)}}

# Each feature alone and all together (installs cargo-hack).
hack:
    cargo hack --version >/dev/null 2>&1 || cargo install --locked cargo-hack
    cargo hack check --workspace --feature-powerset --no-dev-deps

# Advisories, licences, duplicates (installs cargo-deny).
deny:
    cargo deny --version >/dev/null 2>&1 || cargo install --locked cargo-deny
    cargo deny check

# The packages for crates.io: what they hold, and the oldest dependencies that they allow.
package:
    cargo xtask package

# What a release would break since the last one, whose tag is the baseline (installs cargo-semver-checks).
semver:
    #!/bin/sh
    set -eu
    last=$(git describe --tags --abbrev=0 --match 'v[0-9]*' 2>/dev/null || true)
    if [ -z "$last" ]; then
        echo "There is no release yet: nothing to compare with."
        exit 0
    fi
    cargo semver-checks --version >/dev/null 2>&1 || cargo install --locked cargo-semver-checks
    cargo semver-checks --workspace --baseline-rev "$last"

# Sets the version, the changelogs, a commit and a tag: `just release minor` shows them, `just release minor --execute` makes
# them (installs cargo-release).
release level *options: semver
    cargo release --version >/dev/null 2>&1 || cargo install --locked cargo-release
    cargo release {{level}} --workspace {{options}}

# Publishes the crates of this commit: `just publish --dry-run` first. `cargo xtask package` has checked the packages.
publish *options:
    cargo publish --workspace --exclude xtask --no-verify --locked {{options}}

# One fuzz target for a minute: `just fuzz etag`.
fuzz target seconds="60":
    cargo xtask fuzz {{target}} {{seconds}}

# What is synchronised by hand, in every order of its threads: `just models`, `just models mistakes bell`.
models *which:
    cargo xtask models {{which}}

# The host of Python apps: clippy, tests, the wheel and its tests.
wsgi:
    cargo xtask wsgi

# Requests that the Python host loses at SIGTERM: 0, 1 and 2 processes, with and without a slow request (after `just wsgi`; minutes).
wsgi-drain runs="50":
    target/wsgi-venv/bin/python crates/vestibule-wsgi/tests/python/under_load.py drain {{runs}}

# Requests that it loses while workers are replaced: 4 SIGHUPs, a link, `--max-requests`, a broken release and its repair.
wsgi-deploy requests="10000":
    target/wsgi-venv/bin/python crates/vestibule-wsgi/tests/python/under_load.py deploy {{requests}}

# Lines of the access log, by two processes into one pipe: counts those that are torn (after `just wsgi`; minutes).
wsgi-log lines="1000000" format="combined":
    target/wsgi-venv/bin/python crates/vestibule-wsgi/tests/python/log_storm.py {{lines}} "{{format}}"

# Hosts of Python apps beside each other, in an environment of their own (a release build; minutes).
wsgi-bench *cases:
    python3 -m venv target/wsgi-bench
    target/wsgi-bench/bin/pip install -q maturin flask gunicorn granian uwsgi waitress bjoern
    cd crates/vestibule-wsgi && VIRTUAL_ENV=$PWD/../../target/wsgi-bench ../../target/wsgi-bench/bin/maturin develop --release
    target/wsgi-bench/bin/python benches/wsgi/peers.py {{cases}}

# The tests of requests (against httpbin) and of Django, on a host: `just wsgi-suites gunicorn` to compare.
wsgi-suites host="vestibule":
    sh crates/vestibule-wsgi/tests/suites.sh {{host}}
