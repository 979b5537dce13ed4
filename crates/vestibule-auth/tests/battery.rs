//! Every middleware of the crate, through what all middleware goes through.

use vestibule_auth::{
    ApiKey, Authenticate, Basic, Bearer, ForwardAuth, Htpasswd, Identity, IpRules, Require, Scheme,
    Tokens,
};
use vestibule_core::Request;
use vestibule_test::Battery;

#[tokio::test]
async fn authenticate_with_nobody_and_with_somebody() {
    let scheme = || {
        let tokens = Tokens::new().with("t", Identity::new("t", "Bearer"));
        let users = Htpasswd::new().with_user("a", "b");
        Basic::new(users)
            .or(Bearer::new(tokens))
            .or(ApiKey::new(Tokens::new()))
    };
    Battery::new(move |app| Authenticate::new(app, scheme()).optional())
        .run()
        .await;
    Battery::new(move |app| Authenticate::new(app, scheme()))
        .header("authorization", "Bearer t")
        .run()
        .await;
}

#[tokio::test]
async fn guards() {
    // `OPTIONS *` is about every path, the guarded ones too.
    Battery::new(|app| Require::new(app).under("/guarded/place"))
        .allows_status(403)
        .run()
        .await;
    Battery::new(|app| IpRules::new(app).allow_unknown())
        .run()
        .await;
}

#[tokio::test]
async fn forward_auth() {
    let uri = || "http://127.0.0.1:9000/".parse().unwrap();
    let judge = |_: Request| async { "yes" };
    Battery::new(move |app| ForwardAuth::new(app, uri(), judge))
        .run()
        .await;
}
