//! Files that are built into a program: the generated code, its compilation, and the responses.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use vestibule_static::{Embed, Embedded, EmbeddedFile, StaticFiles};

use crate::support::{Folder, ask};

#[test]
fn a_program_serves_its_embedded_site() {
    let folder = Folder::new();
    let text = "let a = 1;\n".repeat(100);
    for (name, content) in [
        ("public/index.html", "<p>home"),
        ("public/js/app.js", &text),
        ("public/.well-known/x", "x"),
        ("public/.env", "SECRET"),
        ("public/odd \"name\".txt", "odd"),
    ] {
        folder.file(name, content);
    }
    let embed = Embed::new(folder.path().join("public"));
    embed.write_to(folder.path(), "public.rs").unwrap();
    let code = fs::read_to_string(folder.path().join("public.rs")).unwrap();
    assert!(!code.contains(".env"), "{code}");
    embed.write_to(folder.path(), "again.rs").unwrap();
    let again = fs::read_to_string(folder.path().join("again.rs")).unwrap();
    assert_eq!(code, again, "the same files are the same code");

    folder.file("main.rs", PROGRAM);
    let program = folder.path().join("carrier");
    let compiled = Command::new("rustc")
        .args(["--edition", "2024", "-L"])
        .arg(format!("dependency={}", deps().display()))
        .arg("--extern")
        .arg(format!("vestibule_static={}", library().display()))
        .arg("-o")
        .arg(&program)
        .arg(folder.path().join("main.rs"))
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&compiled.stderr);
    assert!(compiled.status.success(), "{errors}\n{code}");
    // The program needs no files at run time.
    fs::remove_dir_all(folder.path().join("public")).unwrap();
    let said = Command::new(program).output().unwrap();
    let said = String::from_utf8(said.stdout).unwrap();
    assert_eq!(
        said,
        ".well-known/x 1\nindex.html 7\njs/app.js 1100\njs/app.js.br true\nodd \"name\".txt 3\n"
    );
}

const PROGRAM: &str = r#"
use vestibule_static::{Embedded, Entry, Source, Wait};

static PUBLIC: Embedded = include!("public.rs");

fn length(name: &str) -> u64 {
    match PUBLIC.open(name.as_bytes(), Wait::Never) {
        Ok(Entry::File(file)) => file.length(),
        other => panic!("{name}: {other:?}"),
    }
}

fn main() {
    for name in [".well-known/x", "index.html", "js/app.js"] {
        println!("{name} {}", length(name));
    }
    println!("js/app.js.br {}", length("js/app.js.br") < 100);
    println!("odd \"name\".txt {}", length("odd \"name\".txt"));
}
"#;

/// Returns the folder where Cargo put this test and its libraries.
fn deps() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    test.parent().unwrap().to_owned()
}

/// Returns the latest compiled library of this crate.
fn library() -> PathBuf {
    let entries = fs::read_dir(deps()).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    let libraries = paths.filter(|path| {
        let name = path.file_name().unwrap().to_string_lossy();
        name.starts_with("libvestibule_static-") && name.ends_with(".rlib")
    });
    let made = |path: &PathBuf| fs::metadata(path).unwrap().modified().unwrap();
    libraries.max_by_key(made).unwrap()
}

static SITE: Embedded = Embedded::new(&[
    file("app.js", b"let a", "a1"),
    file("app.js.br", b"<br>", "b1"),
    file("index.html", b"<p>home", "i1"),
    file("sub/index.html", b"<p>sub", "s1"),
]);

const fn file(name: &'static str, bytes: &'static [u8], tag: &'static str) -> EmbeddedFile {
    EmbeddedFile { name, bytes, tag }
}

#[tokio::test]
async fn embedded_files_are_served_like_files_on_disk() {
    let app = StaticFiles::from_source(SITE)
        .precompressed(true)
        .listing(true);
    let cases = [
        ("/", "", 200, "\"i1\"", "<p>home"),
        ("/app.js", "", 200, "\"a1\"", "let a"),
        ("/app.js", "accept-encoding: br", 200, "\"b1-br\"", "<br>"),
        ("/app.js", "range: bytes=0-2", 206, "\"a1\"", "let"),
        ("/sub/", "", 200, "\"s1\"", "<p>sub"),
    ];
    for (path, field, status, tag, body) in cases {
        let fields: Vec<_> = [field]
            .into_iter()
            .filter(|field| !field.is_empty())
            .collect();
        let answer = ask(&app, &format!("GET {path}"), &fields).await;
        assert_eq!(
            (answer.status, answer.header("etag"), answer.text()),
            (status, tag, body),
            "{path} {field}"
        );
    }
    let known = ask(&app, "GET /", &["if-none-match: \"i1\""]).await;
    assert_eq!(known.status, 304);
    assert_eq!(ask(&app, "GET /sub", &[]).await.header("location"), "/sub/");
    assert_eq!(ask(&app, "GET /none", &[]).await.status, 404);
}
