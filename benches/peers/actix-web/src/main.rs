//! Answers every request with a small text, on so many worker threads: `vestibule-peer-actix-web THREADS`.
//! Its address is the only line that it prints.

use actix_web::{App, HttpServer, web};

fn main() -> std::io::Result<()> {
    let threads = std::env::args().nth(1).and_then(|text| text.parse().ok());
    let threads = threads.expect("vestibule-peer-actix-web THREADS");
    let server =
        HttpServer::new(|| App::new().route("/", web::get().to(|| async { "Hello, world!" })))
            .workers(threads)
            .bind("127.0.0.1:0")?;
    println!("http://{}/", server.addrs()[0]);
    actix_web::rt::System::new().block_on(server.run())
}
