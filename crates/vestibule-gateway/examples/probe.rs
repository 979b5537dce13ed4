//! The app that the tests put behind web servers, as the program that they start: by FastCGI where its
//! standard input is a socket that listens, and by CGI otherwise.

#[path = "../tests/probe.rs"]
mod probe;

use vestibule_gateway::{Bind, Server};

#[tokio::main(flavor = "current_thread")]
async fn main() {
    if let Ok(server) = Server::fastcgi(probe::probe).bind(Bind::inherited()).await {
        let _ = server.run().await;
        return;
    }
    let code = vestibule_gateway::cgi(probe::probe).await;
    // A read of standard input that still blocks must not hold the process.
    std::process::exit(i32::from(code != std::process::ExitCode::SUCCESS));
}
