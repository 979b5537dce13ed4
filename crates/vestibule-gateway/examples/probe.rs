//! A CGI program: the app that the tests put behind web servers.

#[path = "../tests/probe.rs"]
mod probe;

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let code = vestibule_gateway::cgi(probe::probe).await;
    // A read of standard input that still blocks must not hold the process.
    std::process::exit(i32::from(code != std::process::ExitCode::SUCCESS));
}
