//! Compares the environ of Apache's mod_wsgi with that of this crate behind the same Apache, field
//! by field.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use vestibule_core::{CollectError, Request};
use vestibule_environ::Environ;
use vestibule_gateway::Server;

use crate::front::{Ask, empty_dir, open_sockets};
use crate::matrix::cases;
use crate::web_server::WebServer;

/// Fields that differ: a name or a prefix, and the cases; an empty list means every case. The
/// README of `vestibule-environ` gives the reasons, in the same order.
const DIFFERENCES: &[(&str, &[&str])] = &[
    ("PATH_INFO", &["slash", "double slash", "dots"]),
    ("RAW_URI", &[]),
    ("HTTP_CONNECTION", &[]),
    ("HTTP_TRANSFER_ENCODING", &["post chunked"]),
    ("CONTENT_LENGTH", &["post chunked"]),
    ("SERVER_SOFTWARE", &[]),
    ("SERVER_ADMIN", &[]),
    ("SERVER_SIGNATURE", &[]),
    ("REMOTE_PORT", &[]),
    ("DOCUMENT_ROOT", &[]),
    ("CONTEXT_DOCUMENT_ROOT", &[]),
    ("CONTEXT_PREFIX", &[]),
    ("SCRIPT_FILENAME", &[]),
    ("PATH_TRANSLATED", &[]),
    ("wsgi.*", &[]),
    ("apache.*", &[]),
    ("mod_wsgi.*", &[]),
];

#[test]
fn the_environ_equals_that_of_mod_wsgi() {
    let dir = empty_dir();
    fs::create_dir_all(dir.join("ours")).unwrap();
    fs::write(dir.join("app.wsgi"), WSGI).unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let place = format!("unix:{}/app.sock", dir.display());
    runtime.block_on(async {
        let server = Server::fastcgi(tell).mount("/app").bind(place).await;
        tokio::spawn(server.unwrap().run_until(std::future::pending()));
    });
    open_sockets(&dir);
    let theirs = WebServer::apache(&dir, THEIRS);
    let ours = WebServer::apache(&dir.join("ours"), OURS);
    let mut told = String::new();
    let mut seen = BTreeSet::new();
    for (case, ask) in cases() {
        let (ours, theirs) = (fields(&ours, &ask), fields(&theirs, &ask));
        for name in ours.keys().chain(theirs.keys()) {
            let (own, their) = (ours.get(name), theirs.get(name));
            if own == their {
                continue;
            }
            match explained(name, case) {
                Some(row) => drop(seen.insert(row)),
                None => told += &format!("{case}: {name}: {own:?}, mod_wsgi has {their:?}\n"),
            }
        }
    }
    let _ = fs::remove_dir_all(&dir);
    assert!(told.is_empty(), "{told}{}", theirs.log());
    let rows = DIFFERENCES.iter().map(|(name, _)| *name);
    let stale: Vec<_> = rows.filter(|name| !seen.contains(name)).collect();
    assert!(stale.is_empty(), "there is no such difference: {stale:?}");
}

/// Returns the row that explains a difference.
fn explained(name: &str, case: &str) -> Option<&'static str> {
    let is_row = |(row, cases): &&(&str, &[&str])| {
        let is_name = match row.strip_suffix('*') {
            Some(start) => name.starts_with(start),
            None => name == *row,
        };
        is_name && (cases.is_empty() || cases.contains(&case))
    };
    DIFFERENCES.iter().find(is_row).map(|(row, _)| *row)
}

#[test]
fn the_readme_explains_each_difference() {
    let readme = include_str!("../../vestibule-environ/README.md");
    let mut rest = readme;
    for (name, _) in DIFFERENCES {
        let row = format!("| `{name}` |");
        let at = rest.find(&row);
        rest = &rest[at.unwrap_or_else(|| panic!("no row {row}, or not in this order"))..];
    }
}

fn fields(server: &WebServer, ask: &Ask) -> BTreeMap<String, String> {
    let answer = ask.send(server.port, "/app").unwrap();
    assert!([200, 400, 404].contains(&answer.status), "{answer:?}");
    let lines = answer.body.lines().filter_map(|line| line.split_once('='));
    lines
        .filter(|_| answer.status == 200)
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

/// Returns every variable on a line, in Python's form.
async fn tell(request: Request) -> Result<String, CollectError> {
    let mut environ = Environ::from(request);
    let body = environ.take_input().collect(100 << 20).await?;
    let lines = environ.iter().map(|(name, value)| {
        let text = |bytes: &[u8]| bytes.iter().copied().map(char::from).collect::<String>();
        format!("{}={}\n", text(name), text(value))
    });
    let mut lines: Vec<_> = lines.collect();
    lines.push(format!("the body={}\n", body.len()));
    Ok(lines.concat())
}

/// The same in Python.
const WSGI: &str = r#"
def application(environ, start_response):
    body = environ["wsgi.input"].read()
    lines = [f"{name}={value}\n" for name, value in environ.items()]
    lines.append(f"the body={len(body)}\n")
    start_response("200 OK", [("Content-Type", "text/plain")])
    return ["".join(lines).encode("utf-8")]
"#;

const THEIRS: &str = "
LoadModule wsgi_module /usr/lib/apache2/modules/mod_wsgi.so
AllowEncodedSlashes NoDecode
WSGIChunkedRequest On
WSGIScriptAlias /app DIR/app.wsgi
<Directory DIR>
  Require all granted
</Directory>
";

const OURS: &str = "
AllowEncodedSlashes NoDecode
<Location /app>
  ProxyPass unix:DIR/../app.sock|fcgi://app flushpackets=on
  ProxyFCGIBackendType GENERIC
  CGIPassAuth On
</Location>
";
