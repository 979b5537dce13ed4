#![no_main]

use libfuzzer_sys::fuzz_target;
use vestibule_core::Mount;
use vestibule_environ::{Environ, Mapping};

fuzz_target!(|variables: Vec<(&str, &[u8])>| {
    let mut environ: Environ = variables.into_iter().collect();
    environ.set("REQUEST_METHOD", "GET");
    if let Ok(request) = Mapping::new().request(environ) {
        if let Some(mount) = Mount::of(&request) {
            let both = [mount.prefix(), mount.rest()].concat();
            assert_eq!(both, request.uri().path());
        }
    }
});
