//! Names with a hash of their content, which never stand for other bytes.

/// Whether `name` has a content hash before its extension, as bundlers write it: `app-B7sZ3kfd.js`, `main.8f3a2b1c.css`.
///
/// The hash follows a `-` or a `.`, is 8 to 64 characters long and looks like nothing that a person writes: hexadecimal
/// digits with letters and figures in turn, or letters of both cases and figures in turn. A hash that happens to look like
/// a word or a number is missed, which costs a revalidation and no more. Pages (`.html`) never count.
///
/// ```
/// use vestibule_static::has_hashed_name;
///
/// assert!(has_hashed_name("assets/index-BvX3_k2a.js"));
/// assert!(!has_hashed_name("report-2026-11-23.pdf"));
/// ```
#[must_use]
pub fn has_hashed_name(name: impl AsRef<[u8]>) -> bool {
    let name = name.as_ref();
    let file = name.rsplit(|&byte| byte == b'/').next().unwrap_or(name);
    let Ok(file) = std::str::from_utf8(file) else {
        return false;
    };
    // `app.8f3a2b1c.js.map` has its hash before both.
    let file = file.strip_suffix(".map").unwrap_or(file);
    let Some((stem, extension)) = file.rsplit_once('.') else {
        return false;
    };
    if matches!(extension, "html" | "htm" | "xhtml") || extension.is_empty() {
        return false;
    }
    stem.char_indices()
        .filter(|(_, c)| matches!(c, '-' | '.'))
        .any(|(at, _)| at > 0 && is_hash(&stem[at + 1..]))
}

/// Whether `text` looks like a hash, and like nothing else.
fn is_hash(text: &str) -> bool {
    if !(8..=64).contains(&text.len()) {
        return false;
    }
    let is_hex = text
        .bytes()
        .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
        || text
            .bytes()
            .all(|byte| matches!(byte, b'0'..=b'9' | b'A'..=b'F'));
    if is_hex {
        return turns(text.bytes().map(|byte| usize::from(byte.is_ascii_digit()))) >= 2;
    }
    let is_base64 = text
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
    let has = |class: fn(&u8) -> bool| text.as_bytes().iter().any(class);
    let mixes =
        has(u8::is_ascii_digit) && has(u8::is_ascii_lowercase) && has(u8::is_ascii_uppercase);
    let kinds = text.bytes().map(|byte| match byte {
        b'0'..=b'9' => 0,
        b'a'..=b'z' => 1,
        b'A'..=b'Z' => 2,
        _ => 3,
    });
    is_base64 && mixes && turns(kinds) >= 4
}

/// How often the kind of character changes.
fn turns(kinds: impl Iterator<Item = usize>) -> usize {
    let kinds: Vec<_> = kinds.collect();
    kinds.windows(2).filter(|pair| pair[0] != pair[1]).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        let hashed = [
            "app-B7sZ3kfd.js",
            "index-BvX3_k2a.css",
            "main.8f3a2b1c.js",
            "main.8f3a2b1c.js.map",
            "main.8f3a2b1c4d5e6f708192.css",
            "logo.5d5d9eefa31e5e13a6610d9fa7a283bb.svg",
            "a/b/chunk-4F7A9B2C.js",
            "font-DaX9-3kQ.woff2",
        ];
        for name in hashed {
            assert!(has_hashed_name(name), "{name}");
        }
        let plain = [
            "app.js",
            "index.html",
            "index.8f3a2b1c.html",
            "report-2026-11-23.pdf",
            "photo-20261123.jpg",
            "report-Version2.pdf",
            "case-iPhone15.png",
            "facade-facade2024.png",
            "app-deadbeef.js",
            "jquery-3.7.1.min.js",
            "bootstrap.bundle.min.js",
            "my-component-name.js",
            "8f3a2b1c.js",
            "README",
            "-.js",
            "",
        ];
        for name in plain {
            assert!(!has_hashed_name(name), "{name}");
        }
        assert!(!has_hashed_name(b"\xff-8f3a2b1c.js"));
    }
}
