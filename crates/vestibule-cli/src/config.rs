//! `vestibule config`: what to paste into a web server's configuration.

use crate::args::Config;

/// The configuration, with a comment that says what to start.
pub(crate) fn text(config: &Config) -> String {
    let Config {
        server,
        by,
        prefix,
        socket,
    } = config;
    let prefix = match prefix.trim_end_matches('/') {
        "" => "/",
        prefix => prefix,
    };
    let mount = match prefix {
        "/" => String::new(),
        prefix => format!(" --mount {prefix}"),
    };
    let start = format!("--{by} unix:{socket}{mount}");
    let template = match (&**server, &**by) {
        ("nginx", _) => NGINX,
        (_, "fastcgi") => APACHE_FASTCGI,
        _ => APACHE,
    };
    let scheme = match (&**server, &**by) {
        ("apache", "fastcgi") => "fcgi",
        (_, by) => by,
    };
    let text = template
        .replace("START", &start)
        .replace("PREFIX", prefix)
        .replace("SOCKET", socket);
    text.replace("PROTOCOL", scheme)
}

const NGINX: &str = "\
# vestibule serve DIR START
location PREFIX {
    include PROTOCOL_params;
    PROTOCOL_param HTTP_PROXY \"\";
    PROTOCOL_pass unix:SOCKET;
}
";

const APACHE: &str = "\
# vestibule serve DIR START
AllowEncodedSlashes NoDecode
<Location PREFIX>
    ProxyPass unix:SOCKET|PROTOCOL://vestibule
    CGIPassAuth On
</Location>
";

const APACHE_FASTCGI: &str = "\
# vestibule serve DIR START
AllowEncodedSlashes NoDecode
<Location PREFIX>
    ProxyPass unix:SOCKET|PROTOCOL://vestibule flushpackets=on
    ProxyFCGIBackendType GENERIC
    CGIPassAuth On
</Location>
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_text_is_filled_in() {
        for server in ["nginx", "apache"] {
            for by in ["fastcgi", "scgi", "uwsgi"] {
                let text = text(&Config {
                    server: server.to_owned(),
                    by: by.to_owned(),
                    prefix: "/app/".to_owned(),
                    socket: "/run/x.sock".to_owned(),
                });
                let is_open = |word: &str| text.contains(word);
                assert!(
                    !["START", "PREFIX", "SOCKET", "PROTOCOL"]
                        .into_iter()
                        .any(is_open),
                    "{text}"
                );
                assert!(
                    text.contains("/app") && text.contains("/run/x.sock"),
                    "{text}"
                );
            }
        }
    }

    #[test]
    fn nginx_by_fastcgi() {
        let config = Config {
            server: "nginx".to_owned(),
            by: "fastcgi".to_owned(),
            prefix: "/".to_owned(),
            socket: "/run/x.sock".to_owned(),
        };
        assert_eq!(
            text(&config),
            "\
# vestibule serve DIR --fastcgi unix:/run/x.sock
location / {
    include fastcgi_params;
    fastcgi_param HTTP_PROXY \"\";
    fastcgi_pass unix:/run/x.sock;
}
"
        );
    }
}
