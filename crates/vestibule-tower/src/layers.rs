//! Tables of the layers of tower, tower-http and axum, with the code to add each to a stack.
//!
//! A test compiles and runs every line of code below, with tower 0.5, tower-http 0.7 and axum 0.8.
//! Each is the argument of [`Stack::with`](vestibule_core::Stack::with). Names in the code without
//! a path are yours, or of this crate.
//!
//! | the layer | function |
//! |---|---|
//! | accepts a body of any type, and its service is `Clone` and `Sync`: nearly all | [`from_layer`](crate::from_layer) |
//! | creates a service that is not `Clone` | [`from_layer_shared`](crate::from_layer_shared) |
//! | uses the body type of another framework, such as axum's | [`from_layer_with_body`](crate::from_layer_with_body) |
//! | is a service that answers, and not a layer | [`from_service`](crate::from_service) |
//!
//! The last column names our own equivalent, if there is one, and its crate; the facade `vestibule`
//! has all of them. Our own layers do not clone a service for each request, keep the file behind a
//! body, and have roles for the order check.
//!
//! # tower
//!
//! | layer | write | ours |
//! |---|---|---|
//! | time limit | `from_layer(tower::timeout::TimeoutLayer::new(Duration::from_secs(30)))` | |
//! | concurrency limit | `from_layer(tower::limit::ConcurrencyLimitLayer::new(100))` | for connections: `Server::max_connections` of `vestibule-hyper` |
//! | the same limit in several stacks | `from_layer(tower::limit::GlobalConcurrencyLimitLayer::new(100))` | |
//! | rate limit | `from_layer_shared(tower::limit::RateLimitLayer::new(100, Duration::from_secs(1)))` | |
//! | buffer | `from_layer(tower::buffer::BufferLayer::new(64))` | not needed: `from_layer_shared` shares a service without a task |
//! | load shedding, with the limit that it is for | `from_layer(tower::ServiceBuilder::new().load_shed().concurrency_limit(100))` | |
//! | retry | `from_layer(tower::retry::RetryLayer::new(policy))` | |
//! | filter | `from_layer(tower::filter::FilterLayer::new(check))` | `Stack::around` |
//! | asynchronous filter | `from_layer(tower::filter::AsyncFilterLayer::new(check_later))` | `Stack::around` |
//! | change of the request | `from_layer(tower::util::MapRequestLayer::new(edit_request))` | `Stack::map_request` |
//! | change of the response | `from_layer(tower::util::MapResponseLayer::new(edit_response))` | `Stack::map_response` |
//! | asynchronous change of the response | `from_layer(tower::util::AndThenLayer::new(edit_response_later))` | `Stack::around` |
//! | a layer that may be off | `from_layer(tower::util::option_layer(limit))` | `Stack::when` |
//! | several layers | `from_layer(tower::ServiceBuilder::new().layer(outer).layer(inner))` | one `Stack::with` each, so that the stack knows them |
//!
//! # tower-http
//!
//! | layer | write | ours |
//! |---|---|---|
//! | `AddExtension` | `from_layer(tower_http::add_extension::AddExtensionLayer::new(state))` | `Stack::map_request` |
//! | `AddAuthorization`, for clients | `from_layer(tower_http::auth::AddAuthorizationLayer::bearer("secret"))` | |
//! | `AsyncRequireAuthorization` | `from_layer(tower_http::auth::AsyncRequireAuthorizationLayer::new(authorize))` | `Authenticate` and `Require` of `vestibule-auth` |
//! | basic authentication | `from_layer(tower_http::validate_request::ValidateRequestHeaderLayer::basic("user", "secret"))` | `Authenticate` with `Basic` |
//! | a bearer token | `from_layer(tower_http::validate_request::ValidateRequestHeaderLayer::bearer("secret"))` | `Authenticate` with `Bearer` |
//! | `ValidateRequestHeader` | `from_layer(tower_http::validate_request::ValidateRequestHeaderLayer::accept("text/html"))` | `Stack::around` |
//! | `CatchPanic` | `from_layer(tower_http::catch_panic::CatchPanicLayer::new())` | `CatchPanic` |
//! | `Compression` | `from_layer(tower_http::compression::CompressionLayer::new())` | `Compression` of `vestibule-compression` |
//! | `Decompression`, for clients | `from_layer(tower_http::decompression::DecompressionLayer::new())` | |
//! | `RequestDecompression` | `from_layer(tower_http::decompression::RequestDecompressionLayer::new())` | `Decompression` of `vestibule-compression` |
//! | `Cors` | `from_layer(tower_http::cors::CorsLayer::permissive())` | |
//! | `Csrf` | `from_layer(tower_http::csrf::CsrfLayer::new())` | |
//! | `RequestBodyLimit` | `from_layer(tower_http::limit::RequestBodyLimitLayer::new(1 << 20))` | `Body::collect(limit)` |
//! | `MapRequestBody` | `from_layer(tower_http::map_request_body::MapRequestBodyLayer::new(new_body))` | `Stack::map_request` |
//! | `MapResponseBody` | `from_layer(tower_http::map_response_body::MapResponseBodyLayer::new(new_body))` | `Stack::map_response` |
//! | `InFlightRequests` | `from_layer(tower_http::metrics::InFlightRequestsLayer::new(counter))` | `Metrics` of `vestibule-logging` |
//! | `NormalizePath` | `from_layer(tower_http::normalize_path::NormalizePathLayer::trim_trailing_slash())` | |
//! | `OnEarlyDrop` | `from_layer(tower_http::on_early_drop::OnEarlyDropLayer::builder().on_future_drop(on_drop))` | `Body::on_end`; `AccessLog` logs it as 499 |
//! | `PropagateHeader` | `from_layer(tower_http::propagate_header::PropagateHeaderLayer::new(name))` | |
//! | `SetRequestId` | `from_layer(tower_http::request_id::SetRequestIdLayer::x_request_id(make_id))` | `SetRequestId` of `vestibule-logging` |
//! | `PropagateRequestId` | `from_layer(tower_http::request_id::PropagateRequestIdLayer::x_request_id())` | part of `SetRequestId` |
//! | `SetSensitiveHeaders` | `from_layer(tower_http::sensitive_headers::SetSensitiveHeadersLayer::new([AUTHORIZATION]))` | |
//! | `SetRequestHeader` | `from_layer(tower_http::set_header::SetRequestHeaderLayer::overriding(SERVER, value))` | `Stack::map_request` |
//! | `SetResponseHeader` | `from_layer(tower_http::set_header::SetResponseHeaderLayer::if_not_present(SERVER, value))` | `Stack::map_response` |
//! | `SetStatus` | `from_layer(tower_http::set_status::SetStatusLayer::new(StatusCode::ACCEPTED))` | `Stack::map_response` |
//! | `Timeout` | `from_layer(tower_http::timeout::TimeoutLayer::with_status_code(StatusCode::GATEWAY_TIMEOUT, Duration::from_secs(30)))` | |
//! | `RequestBodyTimeout` | `from_layer(tower_http::timeout::RequestBodyTimeoutLayer::new(Duration::from_secs(30)))` | `Server::body_timeout` of `vestibule-hyper` |
//! | `RequestBodyDeadline` | `from_layer(tower_http::timeout::RequestBodyDeadlineLayer::new(Duration::from_secs(30)))` | `Server::min_body_rate` of `vestibule-hyper` |
//! | `ResponseBodyTimeout` | `from_layer(tower_http::timeout::ResponseBodyTimeoutLayer::new(Duration::from_secs(30)))` | |
//! | `ResponseBodyDeadline` | `from_layer(tower_http::timeout::ResponseBodyDeadlineLayer::new(Duration::from_secs(30)))` | |
//! | `Trace` | `from_layer(tower_http::trace::TraceLayer::new_for_http())` | `Trace` and `AccessLog` of `vestibule-logging` |
//! | `Trace` for gRPC | `from_layer(tower_http::trace::TraceLayer::new_for_grpc())` | |
//!
//! These are services, and so apps: the argument of [`Stack::app`](vestibule_core::Stack::app).
//!
//! | service | write | ours |
//! |---|---|---|
//! | `ServeDir` | `from_service(tower_http::services::ServeDir::new("src"))` | `StaticFiles` of `vestibule-static` |
//! | `ServeFile` | `from_service(tower_http::services::ServeFile::new("Cargo.toml"))` | `StaticFiles` of `vestibule-static` |
//! | `Redirect` | `from_service(tower_http::services::Redirect::<Body>::permanent(uri))` | `(StatusCode, [(LOCATION, ..)])` as a response |
//! | axum's `Router` | `from_service(axum::Router::new())` | `Mounts` |
//!
//! # axum
//!
//! | layer | write | ours |
//! |---|---|---|
//! | `from_fn` | `from_layer_with_body(axum::middleware::from_fn(middleware), axum::body::Body::new)` | `Stack::around` |
//! | `from_fn_with_state` | `from_layer_with_body(axum::middleware::from_fn_with_state(state, middleware_with_state), axum::body::Body::new)` | `Stack::around` with a closure |
//! | `from_extractor` | `from_layer_with_body(axum::middleware::from_extractor::<Extractor>(), axum::body::Body::new)` | `Stack::around` |
//! | `map_request` | `from_layer_with_body(axum::middleware::map_request(edit), axum::body::Body::new)` | `Stack::map_request` |
//! | `map_response` | `from_layer_with_body(axum::middleware::map_response(edit_answer), axum::body::Body::new)` | `Stack::map_response` |
//! | `Extension` | `from_layer(axum::Extension(state))` | `Stack::map_request` |
//! | `DefaultBodyLimit` | `from_layer(axum::extract::DefaultBodyLimit::max(1 << 20))` | `Body::collect(limit)` |
//!
//! # Other crates
//!
//! `companions/` in the repository compiles and runs these lines. It is separate from the tests of
//! this crate, since these crates have many dependencies. The versions are tower-sessions 0.15,
//! axum-login 0.18, tower_governor 0.8 and socketioxide 0.18.
//!
//! | layer | write | remark |
//! |---|---|---|
//! | tower-sessions | `from_layer(tower_sessions::SessionManagerLayer::new(store))` | `Session` is in the request's extensions |
//! | axum-login | `from_layer(axum_login::AuthManagerLayerBuilder::new(backend, sessions).build())` | `AuthSession` is in the request's extensions |
//! | its `login_required!` | `from_layer_with_body(axum_login::login_required!(Users), axum::body::Body::new)` | inside of the layer above |
//! | tower_governor | `from_layer_with_body(tower_governor::GovernorLayer::new(config), axum::body::Body::new)` | the feature `axum` passes it the client address |
//! | socketioxide | `from_layer(socket_io)` | `let (socket_io, io) = SocketIo::new_layer();` |
