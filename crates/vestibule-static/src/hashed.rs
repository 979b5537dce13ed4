//! Names with a hash of their content, which always refer to the same bytes.

/// Returns whether the file at `path` has a content hash in its name, as bundlers and site
/// generators write it.
///
/// The place and the shape of the name decide. Only scripts, styles, source maps, WebAssembly,
/// fonts, images, sound and video qualify; pages and downloads never do. A hash has one of these
/// shapes:
///
/// | shape | example | written by |
/// |---|---|---|
/// | hexadecimal, 8 to 64 digits | `main.8f3a2b1c.chunk.js` | webpack, Parcel, Rails, Django, Hugo, Phoenix, Trunk |
/// | 8 of `A`-`Z` and `2`-`7` | `chunk-YQ4F7G2H.js` | esbuild, Angular, Remix |
/// | 8 of the base64 alphabet for URLs | `index-DiwrgTda.js` | Rollup, Vite, Astro, Nuxt, SvelteKit |
/// | 8 of `a`-`z` and `0`-`9` | `index-kgv1n2gs.js` | Bun, Rollup |
///
/// Below a folder that tools write, such as `assets`, `static` or `_nuxt`, all these kinds qualify.
/// Elsewhere, images and fonts need a longer hash. Below `_next/static`, `_app/immutable` and
/// `_astro`, all of them qualify. Text that reads like words (`case-iPhone15Pro.png`), a date, a
/// version or a UUID is not a hash. If a hash is not recognized, the cost is a revalidation.
///
/// ```
/// use vestibule_static::has_hashed_name;
///
/// assert!(has_hashed_name("assets/index-DiwrgTda.js"));
/// assert!(!has_hashed_name("downloads/MyTool-Win64Latest.exe"));
/// assert!(!has_hashed_name("assets/case-iPhone15Pro.png"));
/// ```
#[must_use]
pub fn has_hashed_name(path: impl AsRef<[u8]>) -> bool {
    let Ok(path) = std::str::from_utf8(path.as_ref()) else {
        return false;
    };
    let path = path.trim_start_matches('/');
    let (folder, file) = path.rsplit_once('/').unwrap_or(("", path));
    // `app.8f3a2b1c.js.map` has its hash before both; `app.js-8f3a2b1c.map` has it between them.
    let file = match file.strip_suffix(".map") {
        Some(file) if kind(file).is_some() => file,
        _ => file,
    };
    let Some((stem, kind)) = kind(file) else {
        return false;
    };
    let folders = || folder.split('/');
    // Next.js, SvelteKit and Astro document that files below these folders never change.
    let is_in = |pair| folders().zip(folders().skip(1)).any(|it| it == pair);
    if is_in(("_next", "static"))
        || is_in(("_app", "immutable"))
        || folders().any(|it| it == "_astro")
    {
        return true;
    }
    let place = FileLocation {
        is_of_tools: folders().any(|folder| FOLDERS.contains(&folder)),
        kind,
    };
    // Gatsby puts the hash of an image into the name of its folder.
    if place.is_of_tools && folders().any(|folder| folder.len() == 32 && is_hex(folder, 32)) {
        return true;
    }
    let mut stem = stem;
    while let Some(shorter) = SUFFIXES
        .iter()
        .find_map(|suffix| stem.strip_suffix(suffix).filter(|it| !it.is_empty()))
    {
        stem = shorter;
    }
    if is_only_a_hash(stem, folder) {
        return true;
    }
    let separators = stem.char_indices().filter(|(at, it)| {
        *at > 0 && (matches!(it, '-' | '.') || (*it == '_' && stem.len() - at > 16))
    });
    separators
        .into_iter()
        .any(|(at, _)| place.takes(&stem[..at], &stem[at..=at], &stem[at + 1..]))
}

/// The place and the kind of a file.
#[derive(Clone, Copy)]
struct FileLocation {
    /// Whether one of its folders is written by tools.
    is_of_tools: bool,
    kind: Kind,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Scripts, styles, source maps and WebAssembly.
    Code,
    /// Fonts, images, sound and video.
    Media,
}

impl FileLocation {
    /// Returns whether `text`, which follows `name` and a separator, is a hash.
    fn takes(self, name: &str, separator: &str, text: &str) -> bool {
        let is_code = self.kind == Kind::Code;
        if is_hex(text, 8) {
            let is_enough = is_code || self.is_of_tools || separator == "." || text.len() >= 16;
            return is_enough && !ends_a_uuid(name, text);
        }
        if text.len() != 8 || !(is_code || self.is_of_tools) {
            return false;
        }
        let is_entry = is_code && {
            let last = name.rsplit(['-', '.', '/']).next().unwrap_or(name);
            ENTRIES.contains(&last)
        };
        match Alphabet::of(text) {
            Some(Alphabet::Base32) => is_code && (is_entry || !has_word_shape(text)),
            Some(Alphabet::Base36) => !reads_like_words(text),
            Some(Alphabet::Base64 { has_digit }) => {
                (has_digit || is_entry || self.is_of_tools) && !reads_like_words(text)
            }
            None => false,
        }
    }
}

/// The alphabet of a hash that is not hexadecimal.
enum Alphabet {
    /// Capitals and the digits 2 to 7.
    Base32,
    /// Small letters and digits; both must occur.
    Base36,
    /// Letters of both cases, digits, `-` and `_`.
    Base64 { has_digit: bool },
}

impl Alphabet {
    fn of(text: &str) -> Option<Self> {
        let has = |class: fn(&u8) -> bool| text.as_bytes().iter().any(class);
        let all = |class: fn(&u8) -> bool| text.as_bytes().iter().all(class);
        if all(|byte| matches!(byte, b'A'..=b'Z' | b'2'..=b'7')) && has(u8::is_ascii_uppercase) {
            return Some(Self::Base32);
        }
        let (has_digit, has_lower) = (has(u8::is_ascii_digit), has(u8::is_ascii_lowercase));
        if has_digit && has_lower && all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9')) {
            return Some(Self::Base36);
        }
        let is_base64 = all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
        let mixes = has_lower && has(u8::is_ascii_uppercase);
        (is_base64 && mixes).then_some(Self::Base64 { has_digit })
    }
}

/// Returns the stem and the kind of a file name; `None` for one that never qualifies.
fn kind(file: &str) -> Option<(&str, Kind)> {
    let (stem, extension) = file.rsplit_once('.')?;
    let kind = match extension {
        "js" | "mjs" | "cjs" | "css" | "map" | "wasm" => Kind::Code,
        "woff" | "woff2" | "ttf" | "otf" | "eot" => Kind::Media,
        "svg" | "png" | "jpg" | "jpeg" | "gif" | "webp" | "avif" | "ico" => Kind::Media,
        "mp4" | "webm" | "mp3" | "m4a" | "ogg" | "opus" | "wav" | "flac" => Kind::Media,
        _ => return None,
    };
    Some((stem, kind))
}

/// Returns whether the name consists only of a hash: `29822eaa871e8eadeaa4.png` of webpack,
/// `CdjCyF0J.js` of Nuxt.
fn is_only_a_hash(stem: &str, folder: &str) -> bool {
    let is_in = |names: &[&str]| folder.split('/').any(|folder| names.contains(&folder));
    if stem.len() == 20 && is_hex(stem, 20) {
        return true;
    }
    stem.len() == 8 && is_in(&["_nuxt"]) && Alphabet::of(stem).is_some() && !reads_like_words(stem)
}

/// Returns whether `text` has at least `least` hexadecimal digits of one case, in which letters and
/// figures alternate often enough.
fn is_hex(text: &str, least: usize) -> bool {
    if !(least..=128).contains(&text.len()) {
        return false;
    }
    let all = |class: fn(u8) -> bool| text.bytes().all(class);
    let is_hex = all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
        || all(|byte| matches!(byte, b'0'..=b'9' | b'A'..=b'F'));
    // `facade2024` and `2024decade` change from letters to figures once.
    let kinds: Vec<_> = text.bytes().map(|byte| byte.is_ascii_digit()).collect();
    is_hex && kinds.windows(2).filter(|pair| pair[0] != pair[1]).count() >= 2
}

/// Returns whether `text` is the end of a UUID, which identifies an object and not its content:
/// 8-4-4-4-12 digits (RFC 9562).
fn ends_a_uuid(name: &str, text: &str) -> bool {
    let mut groups = name.rsplit('-');
    let lengths = [4, 4, 4, 8];
    text.len() == 12
        && lengths.iter().all(|length| {
            groups.next().is_some_and(|group| {
                let digits = &group[group.len().saturating_sub(*length)..];
                digits.len() == *length && digits.bytes().all(|it| it.is_ascii_hexdigit())
            })
        })
}

/// Returns whether capitals and digits could be a word, with an optional number after it:
/// `CHAPTER3`.
fn has_word_shape(text: &str) -> bool {
    text.trim_end_matches(|it: char| it.is_ascii_digit())
        .bytes()
        .all(|byte| byte.is_ascii_uppercase())
}

/// Returns whether `text` could be words in camel case, with numbers between them: `Win64Bit`,
/// `HomePage`, `win32x64`.
///
/// Each part has a vowel, begins as English words do, and has three consonants in a row only where
/// English does. One part may be an abbreviation in capitals.
fn reads_like_words(text: &str) -> bool {
    if text.starts_with(['_', '-']) || text.ends_with(['_', '-']) {
        return false;
    }
    let mut parts: Vec<String> = vec![String::new()];
    let mut before = '0';
    for c in text.chars() {
        let starts = c.is_ascii_uppercase() && !before.is_ascii_uppercase();
        // `HTMLView`: the last capital of a sequence belongs to the next word.
        if c.is_ascii_lowercase() && before.is_ascii_uppercase() {
            let last = parts.last_mut().and_then(String::pop);
            parts.push(last.into_iter().collect());
        }
        if starts || !c.is_ascii_alphabetic() {
            parts.push(String::new());
        }
        if let (true, Some(part)) = (c.is_ascii_alphabetic(), parts.last_mut()) {
            part.push(c);
        }
        before = c;
    }
    parts.retain(|part| !part.is_empty());
    let short = parts.iter().filter(|part| part.len() < 3).count();
    let abbreviations = parts
        .iter()
        .filter(|part| part.len() > 1 && part.bytes().all(|it| it.is_ascii_uppercase()))
        .count();
    parts.len() <= 3
        && short <= 1
        && abbreviations <= 1
        && parts.iter().all(|part| is_pronounceable(part))
}

fn is_pronounceable(part: &str) -> bool {
    let is_abbreviation = part.bytes().all(|byte| byte.is_ascii_uppercase());
    if part.len() == 1 || (is_abbreviation && part.len() <= 4) {
        return true;
    }
    let word = part.to_ascii_lowercase();
    let is_vowel = |byte: u8| matches!(byte, b'a' | b'e' | b'i' | b'o' | b'u' | b'y');
    if !word.bytes().any(is_vowel) {
        return false;
    }
    let bytes = word.as_bytes();
    let begins_badly =
        !is_vowel(bytes[0]) && !is_vowel(bytes[1]) && { !ONSETS.contains(&&word[..2]) };
    let has_knot = bytes.windows(3).any(|three| {
        !three.iter().any(|byte| is_vowel(*byte))
            && !KNOTS.iter().any(|knot| knot.as_bytes() == three)
    });
    !begins_badly && !has_knot
}

/// Folders that bundlers, site generators and frameworks write hashed files into.
const FOLDERS: [&str; 24] = [
    "_app",
    "_assets",
    "_astro",
    "_expo",
    "_next",
    "_nuxt",
    "_shared",
    "assets",
    "build",
    "bundles",
    "chunks",
    "css",
    "dist",
    "entries",
    "fonts",
    "images",
    "img",
    "immutable",
    "js",
    "media",
    "packs",
    "static",
    "styles",
    "webfonts",
];

/// Names of entries and chunks that bundlers put before a hash.
const ENTRIES: [&str; 18] = [
    "app",
    "bundle",
    "chunk",
    "client",
    "common",
    "entry",
    "framework",
    "index",
    "legacy",
    "main",
    "page",
    "polyfills",
    "runtime",
    "scripts",
    "style",
    "styles",
    "vendor",
    "vendors",
];

/// Text after a hash in a stem.
const SUFFIXES: [&str; 9] = [
    ".async",
    ".bundle",
    ".chunk",
    ".digested",
    ".esm",
    ".lean",
    ".min",
    ".module",
    "_bg",
];

/// Pairs of consonants that English words begin with.
const ONSETS: [&str; 29] = [
    "bl", "br", "ch", "cl", "cr", "dr", "dw", "fl", "fr", "gl", "gr", "kn", "ph", "pl", "pr", "ps",
    "sc", "sh", "sk", "sl", "sm", "sn", "sp", "st", "sw", "th", "tr", "tw", "wr",
];

/// Three consonants in a row that English words have.
const KNOTS: [&str; 22] = [
    "chn", "ckb", "dth", "ghl", "ght", "mbl", "mpl", "nch", "nct", "ndl", "ngl", "ngs", "ngt",
    "rch", "rds", "rth", "rts", "sch", "scr", "str", "tch", "xtr",
];

#[cfg(test)]
mod tests {
    use super::*;

    /// Names from the documentation of each tool, or from its defaults.
    #[test]
    fn names_that_tools_write() {
        let cases = [
            // webpack: output.filename, the caching guide; asset modules; Vue CLI; Create React App
            "main.7e2c49a622975ebd9b7e.js",
            "runtime.cc17ae2a94ec771e9221.js",
            "vendors.a42c3ca0d742766d7a28.js",
            "29822eaa871e8eadeaa4.png",
            "js/chunk-vendors.8f3a2b1c.js",
            "static/js/main.8f3a2b1c.js",
            "static/js/787.8f3a2b1c.chunk.js",
            "static/js/main.8f3a2b1c.js.map",
            "static/media/logo.6ce24c58023cc2f8fd88fe9d219db6c6.svg",
            "main.8f3a2b1c.chunk.js",
            // Rollup and Vite
            "Bundle-692bf0ae.js",
            "assets/index-DiwrgTda.js",
            "index-DiwrgTda.js",
            "assets/index-BvX3_k2a.css",
            "assets/utils.8L8ZNlhE.css",
            "assets/index._deYuKRK.css",
            "assets/repo-list.KTrC4ioP.js",
            "assets/CloseOutlined.Ac2Sglwr.js",
            "assets/col.KPyWUTbA.js",
            "assets/utils.pw5xtUsQ.js",
            "assets/about._IcwKZoH.js",
            "assets/repo-details.O1eeDOyK.js",
            "assets/index.rdoY6xeT.js",
            "assets/index-legacy-DiwrgTda.js",
            "assets/font-DaX9-3kQ.woff2",
            // VitePress
            "assets/guide_index.md.B7sZ3kfd.lean.js",
            "assets/app.CdjCyF0J.js",
            // esbuild, Angular, Remix
            "chunk-YQ4F7G2H.js",
            "main-5BWQYH6M.js",
            "styles-5INURTSO.css",
            "polyfills-FFHMDTLX.js",
            "assets/png/image-CQFGD2NG.js",
            "build/_shared/chunk-YQ4F7G2H.js",
            "build/entry.client-5XQNSXJ2.js",
            "main-es2015.8f3a2b1c4d5e6f708192.js",
            // Parcel
            "index.d8f3a2b1.js",
            "photo.8f3a2b1c.jpg",
            // Next.js, Turbopack
            "_next/static/chunks/main-8f3a2b1c4d5e6f70.js",
            "_next/static/css/8f3a2b1c4d5e6f70.css",
            "_next/static/media/e4af272ccee01ff0-s.p.woff2",
            "_next/static/kJ2p0/_buildManifest.js",
            "docs/_next/static/chunks/webpack-8f3a2b1c4d5e6f70.js",
            // Nuxt, SvelteKit, Astro
            "_nuxt/CdjCyF0J.js",
            "_nuxt/entry.B7sZ3kfd.css",
            "_app/immutable/chunks/CdjCyF0J.js",
            "_app/immutable/entry/start.BvX3k2aZ.js",
            "_astro/index.DyS2wR-a.css",
            "_astro/hero.B7sZ3kfd_Z1xq2p.webp",
            "blog/_astro/hero.B7sZ3kfd.svg",
            // Gatsby
            "app-8f3a2b1c4d5e6f708192.js",
            "component---src-pages-index-js-8f3a2b1c4d5e6f708192.js",
            "static/d41d8cd98f00b204e9800998ecf8427e/a1b2c/photo.jpg",
            // Docusaurus
            "assets/js/935f2afb.8f3a2b1c.js",
            "assets/images/docusaurus-8f3a2b1c4d5e6f708192a3b4c5d6e7f8.png",
            // Hugo
            "js/main.62e8f3a2b1c4d5e6f708192a3b4c5d6e7f8091a2b3c4d5e6f708192a3b4c5df1.js",
            "css/style.min.8f3a2b1c4d5e6f708192a3b4c5d6e7f8.css",
            "posts/photo_hu_8f3a2b1c4d5e6f70.jpg",
            // Rails: Sprockets and Propshaft
            "assets/application-908e25f4bf641868d8683022a5b62f54e3f1a2b3c4d5e6f708192a3b4c5d6e7f.js",
            "assets/application-8f3a2b1c.css",
            "assets/logo-f0ec97e6e9d99193cd9593c9c7890084a6e6390f.svg",
            "assets/myfile-abc123def.digested.js",
            // Django
            "static/css/styles.55e7cbb9ba48.css",
            // Phoenix
            "assets/app-12403e086a772b88f325d7f94661e032.css",
            "images/phoenix-5bd99a0d17dd41bc9d9bf6840abcc089.png",
            "favicon-a8ca4e3a2bb8fea46a9ee9e102e7d3eb.ico",
            "js/app.js-217585ba5a1af903c06ebc3e5d85fda2.map",
            // Laravel
            "build/assets/app-DiwrgTda.js",
            // Trunk
            "app-8f3a2b1c4d5e6f70_bg.wasm",
            "app-8f3a2b1c4d5e6f70.js",
            // Bun
            "index-kgv1n2gs.js",
            "dist/logo-a7305bdef.svg",
            // Expo
            "_expo/static/js/web/entry-8f3a2b1c4d5e6f708192a3b4c5d6e7f8.js",
            "a/b/chunk-4F7A9B2C.js",
            "/assets/index-DiwrgTda.js",
        ];
        for name in cases {
            assert!(has_hashed_name(name), "{name}");
        }
    }

    #[test]
    fn names_that_people_write() {
        let cases = [
            "app.js",
            "index.html",
            "index.8f3a2b1c.html",
            "assets/index-DiwrgTda.html",
            // dates, versions and numbers
            "report-2026-11-23.pdf",
            "photo-20261123.jpg",
            "assets/photo-20261123-120000.jpg",
            "assets/call-+4915112345678.mp3",
            "assets/fax-0711.12345678.png",
            "jquery-3.7.1.min.js",
            "assets/bootstrap-5.3.0-alpha1.css",
            "js/main-es2015.js",
            "assets/build-1699999999.js",
            // products and words
            "MyTool-Win64Latest.exe",
            "assets/MyTool-Win64Latest.js",
            "case-iPhone15Pro.png",
            "assets/case-iPhone15Pro.png",
            "assets/case-iPhone15.png",
            "assets/tool-Win64Bit.png",
            "assets/tool-win32x64.js",
            "assets/user-HomePage.js",
            "assets/model-DataView.js",
            "index-OpenType.js",
            "assets/guide-CHAPTER3.js",
            "assets/guide-OVERVIEW.js",
            "assets/report-Version2.js",
            "js/vendor/html5shiv.js",
            "facade-facade2024.png",
            "app-deadbeef.js",
            "bootstrap.bundle.min.js",
            "my-component-name.js",
            "assets/photo-bookmark.jpg",
            "assets/chapter2.js",
            "assets/part-chapter2.js",
            // objects with an identity of their own
            "images/3f2504e0-4f89-41d3-9a0c-0305e82cc3f1.jpg",
            "assets/user-3f2504e0-4f89-41d3-9a0c-0305e82cc3f1.png",
            "avatars/d41d8cd98f00b204e9800998ecf8427e.png",
            "photo-8f3a2b1c.jpg",
            // downloads, with any name
            "tool-8f3a2b1c.zip",
            "assets/tool-8f3a2b1c4d5e6f708192.tar.gz",
            "assets/tool-B7sZ3kfd.dmg",
            "static/app-8f3a2b1c4d5e6f708192.apk",
            "build/disk.8f3a2b1c4d5e6f708192.iso",
            "assets/manual.8f3a2b1c4d5e6f708192.pdf",
            "dist/setup-8f3a2b1c.exe",
            // data that a deploy replaces
            "_nuxt/builds/latest.json",
            "_app/version.json",
            "page-data/app-data.json",
            "assets/data-DiwrgTda.json",
            "8f3a2b1c.js",
            "sw.js",
            "service-worker.js",
            "README",
            "-.js",
            ".js",
            ".map",
            "assets/.map",
            "",
            "/",
        ];
        for name in cases {
            assert!(!has_hashed_name(name), "{name}");
        }
        assert!(!has_hashed_name(b"assets/\xff-8f3a2b1c.js"));
    }

    proptest::proptest! {
        #[test]
        fn any_name_has_an_answer(name in "\\PC{0,40}") {
            let _ = has_hashed_name(name);
        }
    }
}
