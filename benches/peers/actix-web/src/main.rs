//! Responds to every request with a small text: `vestibule-peer-actix-web THREADS [FOLDER]`. With a folder
//! it serves the folder's file at `/file`, and elsewhere the request's path, over HTTP/2 as well. It prints
//! its address and nothing else.

use actix_files::NamedFile;
use actix_web::http::StatusCode;
use actix_web::{App, HttpRequest, HttpServer, rt, web};

fn main() -> std::io::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let threads = arguments.next().and_then(|text| text.parse().ok());
    let threads = threads.expect("vestibule-peer-actix-web THREADS [FOLDER]");
    let Some(folder) = arguments.next() else {
        let server =
            HttpServer::new(|| App::new().route("/", web::get().to(|| async { "Hello, world!" })))
                .workers(threads)
                .bind("127.0.0.1:0")?;
        println!("http://{}/", server.addrs()[0]);
        return rt::System::new().block_on(server.run());
    };
    let server = HttpServer::new(move || {
        let file = format!("{folder}/file");
        let file = move || NamedFile::open_async(file.clone());
        App::new()
            .route("/file", web::get().to(file))
            .default_service(web::to(echo))
    });
    let server = server.workers(threads).bind_auto_h2c("127.0.0.1:0")?;
    println!("http://{}/", server.addrs()[0]);
    rt::System::new().block_on(server.run())
}

/// Says what it saw; does not read the body below `/ignore`.
async fn echo(request: HttpRequest, body: web::Payload) -> (String, StatusCode) {
    let mut said = format!("{} {}", request.method(), request.uri());
    if let Some(host) = request.headers().get("host") {
        said += &format!(" at {}", String::from_utf8_lossy(host.as_bytes()));
    }
    if request.path().starts_with("/ignore") {
        return (said, StatusCode::OK);
    }
    match body.to_bytes_limited(1 << 20).await {
        Ok(Ok(body)) if body.is_empty() => (said, StatusCode::OK),
        Ok(Ok(body)) => (
            format!("{said} [{}]", String::from_utf8_lossy(&body)),
            StatusCode::OK,
        ),
        _ => ("the body broke off".to_owned(), StatusCode::BAD_REQUEST),
    }
}
