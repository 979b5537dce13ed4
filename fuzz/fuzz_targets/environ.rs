#![no_main]

use libfuzzer_sys::fuzz_target;
use vestibule_core::Mount;
use vestibule_environ::{Environ, Mapping};

const NAMES: [&str; 12] = [
    "REQUEST_URI",
    "SCRIPT_NAME",
    "PATH_INFO",
    "QUERY_STRING",
    "HTTP_HOST",
    "HTTP_CONNECTION",
    "HTTP_COOKIE",
    "CONTENT_LENGTH",
    "SERVER_NAME",
    "SERVER_PORT",
    "REMOTE_ADDR",
    "HTTPS",
];

// Prefix and rest are the path, for all variables. This also holds after the request is converted
// to variables and back.
fuzz_target!(|input: (Option<&str>, Vec<(u8, &[u8])>)| {
    let (mount, variables) = input;
    let named = variables
        .into_iter()
        .map(|(name, value)| (NAMES[usize::from(name) % NAMES.len()], value));
    let mut environ: Environ = named.collect();
    environ.set("REQUEST_METHOD", "GET");
    let mut mapping = Mapping::new();
    if let Some(mount) = mount {
        mapping = mapping.mount(mount);
    }
    let Ok(request) = mapping.request(environ) else {
        return;
    };
    let path = request.uri().path().to_owned();
    if let Some(mount) = Mount::of(&request) {
        assert_eq!([mount.prefix(), mount.rest()].concat(), path);
    }
    if let Ok(back) = Mapping::new().request(Environ::from(request)) {
        assert_eq!(back.uri().path(), path);
    }
});
