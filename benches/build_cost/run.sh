#!/usr/bin/env bash
# What it costs to build one axum app by Vestibule's middleware, and by tower-http and its companions: the crates, and
# the CPU seconds of a debug build from nothing. The versions are the newest, as for somebody who begins today.
set -euo pipefail
cd "$(dirname "$0")"
build=$(mktemp -d)
trap 'rm -rf "$build"' EXIT
TIMEFORMAT='%U %S'

measure() { # a name, a folder, arguments of cargo
    local name=$1 folder=$2 times
    shift 2
    rm -rf "$build/$folder"
    cp -r "$folder" "$build/$folder"
    # The copy has no lock file, and the crates of this repository where they are.
    sed -i "s|\.\./\.\./\.\./|$(cd ../..; pwd)/|" "$build/$folder/Cargo.toml"
    (
        cd "$build/$folder"
        cargo fetch --quiet
        crates=$(cargo tree --edges normal --prefix none "$@" | sed 's/ (\*)$//' | sort -u | grep -c .)
        times=$({ time cargo build --quiet "$@"; } 2>&1)
        echo "$name: $((crates - 1)) crates, $(awk '{ printf "%.0f", $1 + $2 }' <<< "$times") s of CPU"
    )
}

cargo --version
measure "vestibule" vestibule
measure "tower-http, jsonwebtoken with rust_crypto" tower-http
measure "tower-http, jsonwebtoken with aws_lc_rs" tower-http --no-default-features --features aws_lc_rs
