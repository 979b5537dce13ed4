//! The structure of an app, as a tree that can be printed.

use std::borrow::Cow;
use std::fmt::{self, Write};

use crate::app::short_name;
use crate::{App, Role};

/// Describes an app: its name, its options, the app that it wraps, and the apps mounted in it.
///
/// ```
/// use vestibule_core::{App, Mounts, Outline, Request, Stack, map_request};
///
/// async fn api(_: Request) -> &'static str { "api" }
/// async fn home(_: Request) -> &'static str { "home" }
///
/// let app = Stack::new()
///     .named("Log", map_request(|request| request))
///     .app(Mounts::new().at("/", home).at("/api", api));
///
/// assert_eq!(app.outline().to_string(), "\
/// Log
/// Mounts
/// ├─ /api
/// │  api
/// └─ /
///    home
/// ");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outline {
    name: Cow<'static, str>,
    options: Vec<(Cow<'static, str>, String)>,
    mounts: Vec<(String, Self)>,
    inner: Option<Box<Self>>,
    roles: Vec<Role>,
    needs: Vec<(Role, Cow<'static, str>)>,
    order: Vec<(Role, Cow<'static, str>)>,
}

impl Outline {
    /// Creates the outline of an app.
    pub fn of<A: App>(app: &A) -> Self {
        let mut outline = Self::named(A::name());
        app.describe(&mut outline);
        outline
    }

    /// Returns the name that outlines use for an app of type `T`: the name of the type, without its
    /// path and parameters. Apps that represent another app, and so override [`App::name`], call
    /// it.
    ///
    /// ```
    /// use vestibule_core::Outline;
    ///
    /// assert_eq!(Outline::name_of::<std::sync::Arc<String>>(), "Arc");
    /// ```
    #[must_use]
    pub fn name_of<T: ?Sized>() -> &'static str {
        short_name(std::any::type_name::<T>())
    }

    fn named(name: impl Into<Cow<'static, str>>) -> Self {
        Self {
            name: name.into(),
            options: Vec::new(),
            mounts: Vec::new(),
            inner: None,
            roles: Vec::new(),
            needs: Vec::new(),
            order: Vec::new(),
        }
    }

    /// Sets a name other than that of the type.
    pub fn rename(&mut self, name: impl Into<Cow<'static, str>>) -> &mut Self {
        self.name = name.into();
        self
    }

    /// Adds an option, as in `min_size: 256`.
    pub fn option(
        &mut self,
        name: impl Into<Cow<'static, str>>,
        value: impl fmt::Display,
    ) -> &mut Self {
        self.options.push((name.into(), value.to_string()));
        self
    }

    /// Sets the app that this one wraps.
    pub fn wraps<A: App>(&mut self, app: &A) -> &mut Self {
        self.inner = Some(Box::new(Self::of(app)));
        self
    }

    /// Adds an app that gets some of the requests: those at `place`.
    pub fn mount<A: App>(&mut self, place: impl Into<String>, app: &A) -> &mut Self {
        self.mounts.push((place.into(), Self::of(app)));
        self
    }

    /// Adds a role of this layer, for [`Outline::check`]. A role that is already present is not
    /// added again.
    pub fn role(&mut self, role: Role) -> &mut Self {
        if !self.roles.contains(&role) {
            self.roles.push(role);
        }
        self
    }

    /// States that a layer of `role` must be outside of this one. `why` is the end of a sentence,
    /// such as "it reads the session".
    pub fn requires(&mut self, role: Role, why: impl Into<Cow<'static, str>>) -> &mut Self {
        self.needs.push((role, why.into()));
        self
    }

    /// States that this layer must be outside of the layers of `role`, if there are any. `why` is
    /// the end of a sentence, such as "a refusal would have no page".
    pub fn outside_of(&mut self, role: Role, why: impl Into<Cow<'static, str>>) -> &mut Self {
        self.order.push((role, why.into()));
        self
    }

    /// Returns the roles of this layer.
    #[must_use]
    pub fn roles(&self) -> &[Role] {
        &self.roles
    }

    pub(crate) fn needs(&self) -> &[(Role, Cow<'static, str>)] {
        &self.needs
    }

    pub(crate) fn order(&self) -> &[(Role, Cow<'static, str>)] {
        &self.order
    }

    /// Returns the name of the app.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the options as name and value, in the order of the calls.
    pub fn options(&self) -> impl Iterator<Item = (&str, &str)> {
        self.options.iter().map(|(name, value)| (&**name, &**value))
    }

    /// Returns the wrapped app.
    #[must_use]
    pub fn inner(&self) -> Option<&Self> {
        self.inner.as_deref()
    }

    /// Returns the mounted apps and their places.
    pub fn mounts(&self) -> impl Iterator<Item = (&str, &Self)> {
        self.mounts.iter().map(|(place, app)| (&**place, app))
    }

    /// Returns this app, the app that it wraps, and so on inwards. Mounted apps are not included.
    pub fn layers(&self) -> impl Iterator<Item = &Self> {
        std::iter::successors(Some(self), |outline| outline.inner())
    }

    /// Returns the tree as JSON:
    /// `{"name":"Mounts","options":{},"inner":null,"mounts":[{"at":"/","app":{...}}]}`.
    #[must_use]
    pub fn to_json(&self) -> String {
        let mut json = String::new();
        self.write_json(&mut json);
        json
    }

    fn write_json(&self, out: &mut String) {
        out.push_str("{\"name\":");
        write_json_text(out, &self.name);
        out.push_str(",\"options\":{");
        for (index, (name, value)) in self.options.iter().enumerate() {
            out.push_str(if index == 0 { "" } else { "," });
            write_json_text(out, name);
            out.push(':');
            write_json_text(out, value);
        }
        out.push_str("},\"inner\":");
        match &self.inner {
            Some(inner) => inner.write_json(out),
            None => out.push_str("null"),
        }
        out.push_str(",\"mounts\":[");
        for (index, (place, app)) in self.mounts.iter().enumerate() {
            out.push_str(if index == 0 { "{\"at\":" } else { ",{\"at\":" });
            write_json_text(out, place);
            out.push_str(",\"app\":");
            app.write_json(out);
            out.push('}');
        }
        out.push_str("]}");
    }

    fn write_text(&self, f: &mut fmt::Formatter<'_>, indent: &str) -> fmt::Result {
        for layer in self.layers() {
            write!(f, "{indent}{}", layer.name)?;
            for (index, (name, value)) in layer.options.iter().enumerate() {
                let before = if index == 0 { "  " } else { ", " };
                write!(f, "{before}{name}: {value}")?;
            }
            f.write_char('\n')?;
            for (index, (place, app)) in layer.mounts.iter().enumerate() {
                let (branch, below) = if index + 1 == layer.mounts.len() {
                    ("└─ ", "   ")
                } else {
                    ("├─ ", "│  ")
                };
                writeln!(f, "{indent}{branch}{place}")?;
                app.write_text(f, &format!("{indent}{below}"))?;
            }
        }
        Ok(())
    }
}

impl fmt::Display for Outline {
    /// Writes one line for each app, the outermost first, with mounts as branches.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write_text(f, "")
    }
}

/// Writes a JSON string (RFC 8259, section 7).
fn write_json_text(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            c if c < ' ' => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Mounts, Request, Stack};

    struct Limit<A> {
        app: A,
    }

    impl<A: App> App for Limit<A> {
        async fn call(&self, request: Request) -> crate::Response {
            self.app.call(request).await
        }

        fn describe(&self, outline: &mut Outline) {
            outline
                .option("max", 8)
                .option("per", "\"client\"")
                .wraps(&self.app);
        }
    }

    async fn leaf(_: Request) {}

    #[test]
    fn an_outline_prints_as_a_tree_and_as_json() {
        let inner = Mounts::new().at("/x", leaf).or(leaf);
        let app = Mounts::new().at("/m", Limit { app: inner }).at("/n", leaf);
        let app = Stack::new().with(|app| Limit { app }).app(app);
        let text = "\
Limit  max: 8, per: \"client\"
Mounts
├─ /m
│  Limit  max: 8, per: \"client\"
│  Mounts
│  ├─ /x
│  │  leaf
│  └─ otherwise
│     leaf
└─ /n
   leaf
";
        assert_eq!(app.outline().to_string(), text);
        let json = Outline::of(&Limit { app: leaf }).to_json();
        let want = r#"{"name":"Limit","options":{"max":"8","per":"\"client\""},"inner":{"name":"leaf","options":{},"inner":null,"mounts":[]},"mounts":[]}"#;
        assert_eq!(json, want);
    }
}
