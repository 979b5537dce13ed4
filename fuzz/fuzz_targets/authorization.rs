#![no_main]

use libfuzzer_sys::fuzz_target;
use vestibule_fields::authorization::Authorization;

fuzz_target!(|value: &[u8]| {
    if let Some(credentials) = Authorization::parse(value) {
        assert!(
            value
                .windows(credentials.scheme().len())
                .any(|it| it == credentials.scheme().as_bytes())
        );
        let _ = (credentials.token68(), credentials.parameter("realm"));
    }
});
