use middleware_crate::RobotsTag;
use vestibule_core::Request;
use vestibule_test::{ask, battery};

async fn page(_: Request) -> &'static str {
    "Hello!"
}

#[tokio::test]
async fn passes_the_battery() {
    battery(RobotsTag::new).await;
}

#[tokio::test]
async fn only_paths_below_the_prefix_get_the_header() {
    let app = RobotsTag::new(page).under("/drafts");
    for (path, expected) in [
        ("/drafts", true),
        ("/drafts/1", true),
        ("/%64rafts/1", true),
        ("/drafts-of-mine", false),
        ("/", false),
    ] {
        let answer = ask(&app, &format!("GET {path} HTTP/1.1\nhost: example.org")).await;
        assert_eq!(
            answer.contains("x-robots-tag: noindex"),
            expected,
            "{path}: {answer}"
        );
    }
}
