//! The program `vestibule`; see the library.

fn main() -> std::process::ExitCode {
    vestibule_cli::run()
}
