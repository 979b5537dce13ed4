#![no_main]

use libfuzzer_sys::fuzz_target;
use vestibule_pem::{Der, blocks};

fuzz_target!(|file: &[u8]| {
    let _ = read(Der::new(file));
    let Ok(blocks) = blocks(file) else {
        return;
    };
    let begins = file.windows(10).filter(|part| part == b"-----BEGIN").count();
    assert_eq!(blocks.len(), begins, "a block was lost");
    for block in blocks {
        let _ = read(Der::new(&block.der));
    }
});

/// Reads all values, as deep as they go.
fn read(mut der: Der<'_>) -> usize {
    let mut count = 0;
    while let Some((_, contents)) = der.any() {
        count += 1 + read(Der::new(contents));
    }
    count
}
