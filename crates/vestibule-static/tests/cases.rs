//! A table with one case a line, named by its section of RFC 9110, by the server that gets it
//! wrong, or as a path.
//!
//! `name | METHOD target | fields, split by " & " | status | response, split by " & "`. A field
//! that must be absent is `!name`; `= text` is the whole body. `{tag}` is the entity tag of
//! `/ten.txt`, `{br}` that of `/app.js` in brotli.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use vestibule_core::Address;
use vestibule_hyper::Server;
use vestibule_static::StaticFiles;

use crate::support::{Answer, Folder, ask, check, date};

const CASES: &str = r#"
9.3.1 get                         | GET /ten.txt          |  | 200 | content-length: 10 & = 0123456789
9.3.1 get of the root             | GET /                 |  | 200 | content-type: text/html; charset=utf-8 & = <p>home
9.3.1 query is not the name       | GET /ten.txt?a=/../b  |  | 200 | = 0123456789
9.3.1 absolute form               | GET http://h/ten.txt  |  | 200 | = 0123456789
9.3.2 head                        | HEAD /ten.txt         |  | 200 | content-length: 10 & etag: {tag} & =
9.3.2 head of nothing             | HEAD /none            |  | 404 | content-length: 14 & =
9.3.2 head of a folder            | HEAD /sub             |  | 308 | location: /sub/ & =
9.3.2 head ignores ranges         | HEAD /ten.txt         | range: bytes=0-1 | 200 | content-length: 10 & !content-range
9.3.2 head has conditions         | HEAD /ten.txt         | if-none-match: {tag} | 304 | !content-length
9.3.7 options                     | OPTIONS /ten.txt      |  | 204 | allow: GET, HEAD, OPTIONS
9.3.7 options of the server       | OPTIONS *             |  | 204 | allow: GET, HEAD, OPTIONS
10.2.1 nginx sends no Allow       | POST /ten.txt         |  | 405 | allow: GET, HEAD, OPTIONS
10.2.1 put                        | PUT /ten.txt          |  | 405 | allow: GET, HEAD, OPTIONS
10.2.1 delete                     | DELETE /ten.txt       |  | 405 | allow: GET, HEAD, OPTIONS
10.2.1 patch                      | PATCH /none           |  | 405 | allow: GET, HEAD, OPTIONS
10.2.1 a registered method        | PROPFIND /ten.txt     |  | 405 | allow: GET, HEAD, OPTIONS
10.2.1 trace                      | TRACE /ten.txt        |  | 405 | allow: GET, HEAD, OPTIONS
9.1 an own method                 | FROB /ten.txt         |  | 501 | !allow
9.1 an own method, nothing there  | FROB /none            |  | 501 | !allow
9.1 methods are case-sensitive    | get /ten.txt          |  | 501 | !allow
8.3 html                          | GET /index.html       |  | 200 | content-type: text/html; charset=utf-8
8.3 tower-http: no charset        | GET /ten.txt          |  | 200 | content-type: text/plain; charset=utf-8
8.3 mime_guess: mjs               | GET /app.mjs          |  | 200 | content-type: text/javascript; charset=utf-8
8.3 js                            | GET /app.js           |  | 200 | content-type: text/javascript; charset=utf-8
8.3 css                           | GET /x.css            |  | 200 | content-type: text/css; charset=utf-8
8.3 mime_guess: ts is no video    | GET /x.ts             |  | 200 | content-type: text/plain; charset=utf-8
8.3 mime_guess: map               | GET /x.map            |  | 200 | content-type: application/json
8.3 wasm                          | GET /x.wasm           |  | 200 | content-type: application/wasm
8.3 avif                          | GET /x.avif           |  | 200 | content-type: image/avif
8.3 webmanifest                   | GET /x.webmanifest    |  | 200 | content-type: application/manifest+json
8.3 svg declares its encoding     | GET /x.svg            |  | 200 | content-type: image/svg+xml
8.3 woff2                         | GET /x.woff2          |  | 200 | content-type: font/woff2
8.3 case of the extension         | GET /X.PNG            |  | 200 | content-type: image/png
8.3 the last extension counts     | GET /x.tar.gz         |  | 200 | content-type: application/gzip
8.3 no extension, text            | GET /LICENSE          |  | 200 | content-type: text/plain; charset=utf-8 & x-content-type-options: nosniff
8.3 unknown extension             | GET /x.unknown        |  | 200 | content-type: application/octet-stream & x-content-type-options: nosniff
8.6 empty file                    | GET /empty.txt        |  | 200 | content-length: 0 & =
8.8.2 last-modified               | GET /ten.txt          |  | 200 | last-modified: Sun, 06 Nov 1994 08:49:37 GMT
8.8.2 caddy: mtime 0              | GET /zero.txt         |  | 200 | !last-modified
8.8.2 caddy: mtime 1              | GET /one.txt          |  | 200 | !last-modified
8.8.2 caddy: mtime 0 is no 304    | GET /zero.txt         | if-modified-since: Sun, 06 Nov 2050 08:49:37 GMT | 200 | = zero
8.8.2 mtime 0 and any tag         | GET /zero.txt         | if-none-match: "x" | 200 | = zero
8.8.2 before 1970                 | GET /old.txt          |  | 200 | last-modified: Wed, 31 Dec 1969 23:59:55 GMT
8.8.3 a tag is strong             | GET /ten.txt          |  | 200 | etag: {tag}
14.3 accept-ranges                | GET /ten.txt          |  | 200 | accept-ranges: bytes
13.1.1 if-match                   | GET /ten.txt          | if-match: {tag} | 200 |
13.1.1 if-match any               | GET /ten.txt          | if-match: * | 200 |
13.1.1 if-match any of nothing    | GET /none             | if-match: * | 404 |
13.1.1 if-match list              | GET /ten.txt          | if-match: "a", {tag} | 200 |
13.1.1 if-match two lines         | GET /ten.txt          | if-match: "a" & if-match: {tag} | 200 |
13.1.1 if-match other             | GET /ten.txt          | if-match: "a" | 412 | !etag
13.1.1 if-match is strong         | GET /ten.txt          | if-match: W/{tag} | 412 |
13.1.1 if-match garbage           | GET /ten.txt          | if-match: garbage | 412 |
13.1.1 if-match and no tag        | GET /zero.txt         | if-match: "a" | 412 |
13.1.1 if-match any and no tag    | GET /zero.txt         | if-match: * | 200 |
13.1.1 put                        | PUT /ten.txt          | if-match: "a" | 405 | allow: GET, HEAD, OPTIONS
13.1.2 if-none-match              | GET /ten.txt          | if-none-match: {tag} | 304 | etag: {tag} & !content-type & !content-length
13.1.2 if-none-match is weak      | GET /ten.txt          | if-none-match: W/{tag} | 304 |
13.1.2 if-none-match list         | GET /ten.txt          | if-none-match: "a", W/"b", {tag} | 304 |
13.1.2 if-none-match two lines    | GET /ten.txt          | if-none-match: "a" & if-none-match: {tag} | 304 |
13.1.2 if-none-match any          | GET /ten.txt          | if-none-match: * | 304 |
13.1.2 if-none-match other        | GET /ten.txt          | if-none-match: "a" | 200 |
13.1.2 comma in a tag             | GET /ten.txt          | if-none-match: "a,b", {tag} | 304 |
13.1.2 garbage in a list          | GET /ten.txt          | if-none-match: a b, ,, {tag} | 304 |
13.1.2 an asterisk in quotes      | GET /ten.txt          | if-none-match: "*" | 200 |
13.1.2 of nothing                 | GET /none             | if-none-match: * | 404 |
13.1.3 if-modified-since          | GET /ten.txt          | if-modified-since: Sun, 06 Nov 1994 08:49:37 GMT | 304 | !last-modified
13.1.3 later                      | GET /ten.txt          | if-modified-since: Sun, 06 Nov 2094 08:49:37 GMT | 304 |
13.1.3 earlier                    | GET /ten.txt          | if-modified-since: Sun, 06 Nov 1994 08:49:36 GMT | 200 |
13.1.3 rfc 850                    | GET /ten.txt          | if-modified-since: Sunday, 06-Nov-94 08:49:37 GMT | 304 |
13.1.3 asctime                    | GET /ten.txt          | if-modified-since: Sun Nov  6 08:49:37 1994 | 304 |
13.1.3 31 February                | GET /ten.txt          | if-modified-since: Tue, 31 Feb 2050 08:49:37 GMT | 200 |
13.1.3 year 99999                 | GET /ten.txt          | if-modified-since: Sun, 06 Nov 99999 08:49:37 GMT | 200 |
13.1.3 garbage                    | GET /ten.txt          | if-modified-since: yesterday | 200 |
13.1.3 before 1970                | GET /old.txt          | if-modified-since: Wed, 31 Dec 1969 23:59:55 GMT | 304 |
13.1.3 silenced by a tag          | GET /ten.txt          | if-none-match: "a" & if-modified-since: Sun, 06 Nov 2050 08:49:37 GMT | 200 |
13.1.4 if-unmodified-since        | GET /ten.txt          | if-unmodified-since: Sun, 06 Nov 1994 08:49:37 GMT | 200 |
13.1.4 earlier                    | GET /ten.txt          | if-unmodified-since: Sun, 06 Nov 1994 08:49:36 GMT | 412 |
13.1.4 garbage                    | GET /ten.txt          | if-unmodified-since: tomorrow | 200 |
13.1.4 silenced by a tag          | GET /ten.txt          | if-match: {tag} & if-unmodified-since: Sun, 06 Nov 1990 08:49:36 GMT | 200 |
13.2.2 412 before 304             | GET /ten.txt          | if-match: "a" & if-none-match: {tag} | 412 |
13.2.2 304 after a match          | GET /ten.txt          | if-match: {tag} & if-none-match: {tag} | 304 |
13.2.2 304 before 206             | GET /ten.txt          | if-none-match: {tag} & range: bytes=0-1 | 304 |
13.2.2 304 before 416             | GET /ten.txt          | if-none-match: {tag} & range: bytes=99- | 304 |
14.1.2 first bytes                | GET /ten.txt          | range: bytes=0-4 | 206 | content-range: bytes 0-4/10 & content-length: 5 & = 01234
14.1.2 from a place               | GET /ten.txt          | range: bytes=7- | 206 | content-range: bytes 7-9/10 & = 789
14.1.2 last bytes                 | GET /ten.txt          | range: bytes=-3 | 206 | content-range: bytes 7-9/10 & = 789
14.1.2 one byte                   | GET /ten.txt          | range: bytes=0-0 | 206 | content-range: bytes 0-0/10 & = 0
14.1.2 tower-http: long suffix    | GET /ten.txt          | range: bytes=-999 | 206 | content-range: bytes 0-9/10 & = 0123456789
14.1.2 behind the end             | GET /ten.txt          | range: bytes=8-99 | 206 | content-range: bytes 8-9/10 & = 89
14.1.2 more than 64 bits          | GET /ten.txt          | range: bytes=8-99999999999999999999 | 206 | content-range: bytes 8-9/10
14.1.2 case of the unit           | GET /ten.txt          | range: BYTES=0-1 | 206 | = 01
14.1.2 comma at the end           | GET /ten.txt          | range: bytes=0-1, | 206 | = 01
14.1.2 neighbours are one         | GET /ten.txt          | range: bytes=0-1,2-3 | 206 | content-range: bytes 0-3/10 & = 0123
14.1.2 one of two is there        | GET /ten.txt          | range: bytes=3-3,77- | 206 | content-range: bytes 3-3/10
14.1.2 starts at the end          | GET /ten.txt          | range: bytes=10- | 416 | content-range: bytes */10
14.1.2 starts behind the end      | GET /ten.txt          | range: bytes=77-88 | 416 | content-range: bytes */10
14.1.2 no bytes from the end      | GET /ten.txt          | range: bytes=-0 | 416 | content-range: bytes */10
14.1.2 tower-http: empty file     | GET /empty.txt        | range: bytes=0- | 200 | content-length: 0 & !content-range
14.1.2 suffix of an empty file    | GET /empty.txt        | range: bytes=-5 | 200 | content-length: 0 & !content-range
14.2 backwards                    | GET /ten.txt          | range: bytes=5-2 | 200 | = 0123456789
14.2 negative                     | GET /ten.txt          | range: bytes=0--1 | 200 | = 0123456789
14.2 letters                      | GET /ten.txt          | range: bytes=a-b | 200 | = 0123456789
14.2 nothing                      | GET /ten.txt          | range: bytes= | 200 | = 0123456789
14.2 comma                        | GET /ten.txt          | range: , | 200 | = 0123456789
14.2 other unit                   | GET /ten.txt          | range: items=0-1 | 200 | = 0123456789
14.2 one is broken                | GET /ten.txt          | range: bytes=0-1,x | 200 | = 0123456789
14.2 two lines                    | GET /ten.txt          | range: bytes=0-1 & range: bytes=3-4 | 200 | = 0123456789
14.2 not on POST                  | POST /ten.txt         | range: bytes=0-1 | 405 | !content-range
14.2 not on 404                   | GET /none             | range: bytes=0-1 | 404 | !content-range
17.15 three times the whole       | GET /ten.txt          | range: bytes=0-,0-,0- | 200 | = 0123456789
17.15 actix-files: overlaps       | GET /ten.txt          | range: bytes=0-5,1-6,2-7 | 200 | = 0123456789
13.1.5 if-range                   | GET /ten.txt          | range: bytes=0-1 & if-range: {tag} | 206 | = 01
13.1.5 tower-http: stale tag      | GET /ten.txt          | range: bytes=0-1 & if-range: "a" | 200 | = 0123456789
13.1.5 weak tag                   | GET /ten.txt          | range: bytes=0-1 & if-range: W/{tag} | 200 | = 0123456789
13.1.5 date                       | GET /ten.txt          | range: bytes=0-1 & if-range: Sun, 06 Nov 1994 08:49:37 GMT | 206 | = 01
13.1.5 later date                 | GET /ten.txt          | range: bytes=0-1 & if-range: Sun, 06 Nov 1995 08:49:37 GMT | 200 | = 0123456789
13.1.5 earlier date               | GET /ten.txt          | range: bytes=0-1 & if-range: Sun, 06 Nov 1993 08:49:37 GMT | 200 | = 0123456789
13.1.5 garbage                    | GET /ten.txt          | range: bytes=0-1 & if-range: x | 200 | = 0123456789
13.1.5 stale is no 416            | GET /ten.txt          | range: bytes=99- & if-range: "a" | 200 | = 0123456789
13.1.5 without a range            | GET /ten.txt          | if-range: {tag} | 200 | = 0123456789
12.5.3 brotli                     | GET /app.js           | accept-encoding: br | 200 | content-encoding: br & vary: accept-encoding & etag: {br} & = <br>
12.5.3 best of several            | GET /app.js           | accept-encoding: gzip, deflate, br | 200 | content-encoding: br
12.5.3 by weight                  | GET /app.js           | accept-encoding: gzip;q=1, br;q=0.9 | 200 | content-encoding: gzip
12.5.3 actix-files: case          | GET /app.js           | accept-encoding: GZip | 200 | content-encoding: gzip
12.5.3 x-gzip                     | GET /app.js           | accept-encoding: x-gzip | 200 | content-encoding: gzip
12.5.3 asterisk                   | GET /app.js           | accept-encoding: * | 200 | content-encoding: br
12.5.3 asterisk but               | GET /app.js           | accept-encoding: br;q=0, * | 200 | content-encoding: gzip
12.5.3 nginx: identity is best    | GET /app.js           | accept-encoding: identity;q=1, gzip;q=0.5 | 200 | !content-encoding & vary: accept-encoding
12.5.3 static-web-server: deflate | GET /app.js           | accept-encoding: deflate | 200 | !content-encoding
12.5.3 refused                    | GET /app.js           | accept-encoding: br;q=0, gzip;q=0 | 200 | !content-encoding
12.5.3 none                       | GET /app.js           |  | 200 | !content-encoding & vary: accept-encoding & = let a
12.5.3 empty                      | GET /app.js           | accept-encoding: | 200 | !content-encoding
12.5.5 tower-http: vary on 304    | GET /app.js           | accept-encoding: br & if-none-match: {br} | 304 | vary: accept-encoding & etag: {br}
8.8.3.3 a tag for each coding     | GET /app.js           | if-none-match: {br} | 200 | = let a
8.8.3.3 ranges of the coded bytes | GET /app.js           | accept-encoding: br & range: bytes=1-2 | 206 | content-range: bytes 1-2/4 & = br
12.5.3 not for pictures           | GET /x.avif           | accept-encoding: br | 200 | !content-encoding & !vary
15.4.9 folder                     | GET /sub              |  | 308 | location: /sub/
15.4.9 keeps the query            | GET /sub?a=1&b        |  | 308 | location: /sub/?a=1&b
15.4.9 keeps its spelling         | GET /s%75b            |  | 308 | location: /s%75b/
15.4.9 with its slash             | GET /sub/             |  | 200 | = <p>sub
15.4.9 file with a slash          | GET /ten.txt/         |  | 404 |
15.4.9 below a file               | GET /ten.txt/x        |  | 404 |
15.4.9 folder without index       | GET /bare             |  | 404 |
15.4.9 tower-http: //sub          | GET //sub             |  | 308 | location: /sub
15.4.9 //host                     | GET //example.org     |  | 308 | location: /example.org
15.4.9 //host/..                  | GET //example.org/%2e%2e |  | 400 | !location
15.4.9 backslash                  | GET /%5Cexample.org   |  | 404 | !location
path: dots                          | GET /../secret        |  | 400 |
path: dots in escapes               | GET /%2e%2e/secret    |  | 400 |
path: dots in mixed escapes         | GET /.%2E/secret      |  | 400 |
path: dots further down             | GET /sub/../../secret |  | 400 |
path: slash in escapes              | GET /..%2fsecret      |  | 404 |
path: all in escapes                | GET /%2e%2e%2fsecret  |  | 404 |
path: escaped twice                 | GET /%252e%252e%252fsecret |  | 404 |
path: backslash                     | GET /..%5csecret      |  | 404 |
path: overlong utf-8                | GET /%c0%ae%c0%ae/secret |  | 404 |
path: overlong slash                | GET /..%c0%afsecret   |  | 404 |
path: IIS escapes                   | GET /%u002e%u002e/secret |  | 400 |
path: parameters                    | GET /..;/secret       |  | 404 |
path: one dot                       | GET /./ten.txt        |  | 400 |
path: NUL                           | GET /ten.txt%00       |  | 400 |
path: NUL and an extension          | GET /ten.txt%00.png   |  | 400 |
path: line end                      | GET /ten.txt%0d%0a    |  | 404 |
path: tab                           | GET /ten%09.txt       |  | 404 |
path: broken escape                 | GET /ten%2            |  | 400 |
path: empty segment                 | GET /sub//index.html  |  | 308 |
path: root of the system            | GET /%2fetc%2fpasswd  |  | 404 |
path: sibling of the root           | GET /..%2froot2%2fsecret |  | 404 |
path: tower-http: .env              | GET /.env             |  | 404 |
path: .env in escapes               | GET /%2e%65nv         |  | 404 |
path: tower-http: .git              | GET /.git/config      |  | 404 |
path: dot folder further down       | GET /sub/.hidden/x    |  | 404 |
path: .well-known                   | GET /.well-known/x    |  | 200 | = x
path: dot file in .well-known       | GET /.well-known/.x   |  | 404 |
path: tower-http: link out          | GET /out              |  | 404 |
path: link within                   | GET /near             |  | 200 | = 0123456789
path: folder out                    | GET /away/secret      |  | 404 |
path: tower-http: pipe              | GET /pipe             |  | 404 |
path: pipe by HEAD                  | HEAD /pipe            |  | 404 |
path: another case of the name      | GET /TEN.TXT          |  | 404 |
path: space in a name               | GET /a%20b.txt        |  | 200 | = ab
path: plus is plus                  | GET /a+b.txt          |  | 404 |
path: utf-8 name                    | GET /%c3%a4.txt       |  | 200 | = ae
"#;

/// Creates a root with a secret file beside it.
fn site() -> (Folder, StaticFiles) {
    let folder = Folder::new();
    folder.file("secret", "SECRET");
    folder.file("root2/secret", "SECRET");
    let file = |name: &str, content: &str| folder.file(&format!("root/{name}"), content);
    file("index.html", "<p>home");
    file("ten.txt", "0123456789");
    file("empty.txt", "");
    file("app.js", "let a");
    file("app.js.br", "<br>");
    file("app.js.gz", "<gz>");
    for name in [
        "app.mjs",
        "x.css",
        "x.ts",
        "x.map",
        "x.wasm",
        "x.avif",
        "x.avif.br",
        "x.webmanifest",
        "x.svg",
        "x.woff2",
    ] {
        file(name, "x");
    }
    for name in [
        "X.PNG",
        "x.tar.gz",
        "LICENSE",
        "x.unknown",
        ".well-known/x",
        ".well-known/.x",
    ] {
        file(name, "x");
    }
    file("a b.txt", "ab");
    file("ä.txt", "ae");
    file("sub/index.html", "<p>sub");
    for name in [".env", ".git/config", "sub/.hidden/x"] {
        file(name, "SECRET");
    }
    date(&file("zero.txt", "zero"), 0);
    date(&file("one.txt", "one"), 1);
    date(&file("old.txt", "old"), -5);
    let root = folder.folder("root");
    folder.folder("root/bare");
    std::os::unix::fs::symlink("../secret", root.join("out")).unwrap();
    std::os::unix::fs::symlink("..", root.join("away")).unwrap();
    std::os::unix::fs::symlink("ten.txt", root.join("near")).unwrap();
    let made = std::process::Command::new("mkfifo")
        .arg(root.join("pipe"))
        .status();
    assert!(made.unwrap().success());
    let app = StaticFiles::new(root).precompressed(true);
    (folder, app)
}

/// A line of the table.
struct Case {
    name: String,
    request: String,
    fields: Vec<String>,
    status: String,
    says: Vec<String>,
}

/// Parses the table, with the tags of a site in it.
async fn cases(app: &StaticFiles) -> Vec<Case> {
    let tag = ask(app, "GET /ten.txt", &[])
        .await
        .header("etag")
        .to_owned();
    let br = ask(app, "GET /app.js", &["accept-encoding: br"])
        .await
        .header("etag")
        .to_owned();
    let split = |text: &str| {
        text.split(" & ")
            .map(str::to_owned)
            .filter(|part| !part.is_empty())
            .collect()
    };
    let lines = CASES.lines().filter(|line| !line.is_empty());
    let cases: Vec<_> = lines
        .map(|line| {
            let line = line.replace("{tag}", &tag).replace("{br}", &br);
            let parts: Vec<_> = line.split('|').map(str::trim).collect();
            let [name, request, fields, status, says] = parts[..] else {
                panic!("{line}");
            };
            Case {
                name: name.to_owned(),
                request: request.to_owned(),
                fields: split(fields),
                status: status.to_owned(),
                says: split(says),
            }
        })
        .collect();
    assert!(cases.len() >= 150, "{} cases", cases.len());
    cases
}

impl Case {
    fn fields(&self) -> Vec<&str> {
        self.fields.iter().map(String::as_str).collect()
    }

    fn check(&self, answer: &Answer) {
        let name = &self.name;
        assert_eq!(answer.status.to_string(), self.status, "{name}");
        let body = String::from_utf8_lossy(&answer.body);
        assert!(!body.contains("SECRET"), "{name}");
        for say in &self.says {
            if let Some(text) = say.strip_prefix('=') {
                assert_eq!(body, text.trim(), "{name}");
            } else if let Some(absent) = say.strip_prefix('!') {
                assert_eq!(answer.header(absent), "", "{name}: {absent}");
            } else {
                let (field, value) = say.split_once(": ").unwrap();
                assert_eq!(answer.header(field), value, "{name}: {field}");
            }
        }
    }
}

#[tokio::test]
async fn in_process() {
    let (_folder, app) = site();
    for case in cases(&app).await {
        case.check(&ask(&app, &case.request, &case.fields()).await);
    }
}

/// Conditions (RFC 9110, section 13) and ranges (section 14, and their abuse in section 17.15).
/// Each row is also run with HEAD, which gives the same result but has no ranges (section 14.2).
#[tokio::test]
async fn rfc9110_conditions_and_ranges() {
    let (_folder, app) = site();
    let mut passed = 0;
    for case in cases(&app).await {
        let section = case.name.split_once('.').map(|(section, _)| section);
        if !matches!(section, Some("13" | "14" | "17")) {
            continue;
        }
        let answer = ask(&app, &case.request, &case.fields()).await;
        case.check(&answer);
        if let Some(path) = case.request.strip_prefix("GET ") {
            let head = ask(&app, &format!("HEAD {path}"), &case.fields()).await;
            let status = match answer.status {
                206 | 416 => 200,
                other => other,
            };
            let found = (head.status, head.header("content-range"));
            assert_eq!(found, (status, ""), "{} by HEAD", case.name);
            if answer.status == status {
                assert_eq!(head.headers, answer.headers, "{} by HEAD", case.name);
            }
        }
        passed += 1;
    }
    assert!(passed >= 60, "{passed} rows");
    println!("{passed} of {passed} rows of RFC 9110 on conditions and ranges pass");
}

#[tokio::test]
async fn over_sockets() {
    let (_folder, app) = site();
    let cases = cases(&app).await;
    let server = Server::new(app).bind("127.0.0.1:0").await.unwrap();
    let address = match server.address() {
        Address::Tcp(address) => *address,
        other => panic!("{other:?}"),
    };
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let running = tokio::spawn(server.run_until(async move { drop(stopped.await) }));
    for case in &cases {
        case.check(&send(address, case).await);
    }
    drop(stop);
    running.await.unwrap();
}

/// Sends the request as bytes on its own connection, and reads the response.
async fn send(address: std::net::SocketAddr, case: &Case) -> Answer {
    let host = if case.request.contains("http://h/") {
        "h"
    } else {
        "localhost"
    };
    let mut text = format!(
        "{} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n",
        case.request
    );
    for field in &case.fields {
        text.push_str(field);
        text.push_str("\r\n");
    }
    text.push_str("\r\n");
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(text.as_bytes()).await.unwrap();
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await.unwrap();
    let head = bytes
        .windows(4)
        .position(|four| four == b"\r\n\r\n")
        .expect(&case.name);
    let text = std::str::from_utf8(&bytes[..head]).unwrap();
    let mut lines = text.split("\r\n");
    let status = lines
        .next()
        .unwrap()
        .split(' ')
        .nth(1)
        .unwrap()
        .parse()
        .unwrap();
    let mut headers = http::HeaderMap::new();
    for line in lines {
        let (name, value) = line.split_once(':').unwrap();
        let name = http::HeaderName::try_from(name).unwrap();
        headers.append(name, value.trim().parse().unwrap());
    }
    let answer = Answer {
        status,
        headers,
        body: bytes[head + 4..].to_vec().into(),
    };
    check(&answer, &case.request, &case.fields());
    answer
}
