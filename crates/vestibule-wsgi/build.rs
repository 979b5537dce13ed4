//! Programs that are linked here find the libpython that they were linked to: without that they might
//! run on another Python of the same name, in silence.

fn main() {
    #[cfg(feature = "embed")]
    pyo3_build_config::add_libpython_rpath_link_args();
}
