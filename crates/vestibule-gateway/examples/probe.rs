//! The app that the tests run behind web servers as a separate program. It uses FastCGI if its
//! standard input is a listening socket, and CGI otherwise.

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
    // A pending read of standard input must not block the exit.
    std::process::exit(i32::from(code != std::process::ExitCode::SUCCESS));
}
