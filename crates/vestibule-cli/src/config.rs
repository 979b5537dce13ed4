//! `vestibule config`: what to paste into a web server's configuration.

use crate::args::Config;

/// The configuration, with a comment that says what to start.
///
/// # Errors
///
/// When the web server cannot do it.
pub(crate) fn text(config: &Config) -> Result<String, &'static str> {
    let Config {
        server,
        wsgi,
        by,
        prefix,
        socket,
    } = config;
    if wsgi.is_some() && by != "http" {
        return Err("`vestibule wsgi` speaks HTTP only: leave `--by` out");
    }
    let listen = match &**by {
        "cgi" => return cgi(config),
        "http" => format!("--listen unix:{socket} --trust-proxy unix"),
        by => format!("--{by} unix:{socket}"),
    };
    let mount = match &**prefix {
        "" => String::new(),
        prefix => format!(" --mount {prefix}"),
    };
    let (template, scheme) = match (&**server, &**by) {
        ("nginx", "http") if wsgi.is_some() => (NGINX_WSGI, "http"),
        ("apache", "http") if wsgi.is_some() => (APACHE_WSGI, "http"),
        ("nginx", "http") => (NGINX_HTTP, "http"),
        ("nginx", by) => (NGINX, by),
        (_, "http") => (APACHE_HTTP, "http"),
        (_, "fastcgi") => (APACHE_FASTCGI, "fcgi"),
        (_, by) => (APACHE, by),
    };
    let place = match (&**server, &**prefix) {
        (_, "") => "/".to_owned(),
        // nginx sends whoever asks for /app to /app/ then, and /apple is not ours.
        ("nginx", prefix) => format!("{prefix}/"),
        (_, prefix) => prefix.to_owned(),
    };
    let what = match wsgi {
        Some(app) => format!("wsgi {app}"),
        None => "serve DIR".to_owned(),
    };
    let start = START
        .replace("WHAT", &what)
        .replace("OPTIONS", &format!("{listen}{mount} --socket-mode 660"));
    let place = template.replace("PLACE", &place).replace("SOCKET", socket);
    Ok(start + &place.replace("PROTOCOL", scheme))
}

fn cgi(config: &Config) -> Result<String, &'static str> {
    match (&*config.server, &*config.prefix) {
        ("nginx", _) => Err("nginx starts no programs; use another protocol, or Apache"),
        (_, "") => Err("a program stands at a path: add `--prefix /app`"),
        (_, prefix) => Ok(APACHE_CGI.replace("PLACE", prefix)),
    }
}

/// Without the group, the web server answers 502 or 503, and says in its log that it may not connect.
const START: &str = "\
# Start, in the group of the web server (www-data on Debian), which opens the socket:
#   vestibule WHAT OPTIONS
";

const NGINX_HTTP: &str = "\
location PLACE {
    proxy_pass http://unix:SOCKET;
    proxy_http_version 1.1;
    proxy_set_header Connection \"\";
    proxy_set_header Host $http_host;
    proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
    proxy_set_header X-Forwarded-Proto $scheme;
    proxy_set_header Proxy \"\";
}
";

/// The longest pause of the app that nginx bears is longer than `--timeout`, so that visitors get the 504
/// of the host, which is in its log. nginx's own limit on uploads is 1 MiB.
const NGINX_WSGI: &str = "\
location PLACE {
    client_max_body_size 100m;
    proxy_read_timeout 75s;
    proxy_send_timeout 75s;
    proxy_pass http://unix:SOCKET;
    proxy_http_version 1.1;
    proxy_set_header Connection \"\";
    proxy_set_header Host $http_host;
    proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
    proxy_set_header X-Forwarded-Proto $scheme;
    proxy_set_header X-Request-ID $request_id;
    proxy_set_header Proxy \"\";
}
";

const NGINX: &str = "\
location PLACE {
    include PROTOCOL_params;
    PROTOCOL_param HTTP_PROXY \"\";
    PROTOCOL_pass unix:SOCKET;
}
";

const APACHE_HTTP: &str = "\
# a2enmod proxy proxy_http headers
AllowEncodedSlashes NoDecode
<Location PLACE>
    ProxyPass unix:SOCKET|http://vestibulePLACE nocanon
    ProxyPreserveHost On
    RequestHeader unset Proxy
    RequestHeader set X-Forwarded-Proto expr=%{REQUEST_SCHEME}
</Location>
";

const APACHE_WSGI: &str = "\
# a2enmod proxy proxy_http headers
AllowEncodedSlashes NoDecode
<Location PLACE>
    LimitRequestBody 104857600
    ProxyPass unix:SOCKET|http://vestibulePLACE nocanon timeout=75
    ProxyPreserveHost On
    RequestHeader unset Proxy
    RequestHeader unset X-Request-ID
    RequestHeader set X-Forwarded-Proto expr=%{REQUEST_SCHEME}
</Location>
";

const APACHE: &str = "\
# a2enmod proxy proxy_PROTOCOL
AllowEncodedSlashes NoDecode
<Location PLACE>
    ProxyPass unix:SOCKET|PROTOCOL://vestibulePLACE
    CGIPassAuth On
</Location>
";

const APACHE_CGI: &str = "\
# a2enmod cgid; and the file /usr/lib/cgi-bin/vestibule, made executable:
#   #!/bin/sh
#   exec vestibule serve DIR --cgi
ScriptAlias PLACE /usr/lib/cgi-bin/vestibule
<Directory /usr/lib/cgi-bin>
    Require all granted
    CGIPassAuth On
</Directory>
";

const APACHE_FASTCGI: &str = "\
# a2enmod proxy proxy_fcgi
AllowEncodedSlashes NoDecode
<Location PLACE>
    ProxyPass unix:SOCKET|PROTOCOL://vestibulePLACE flushpackets=on
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
            for by in ["http", "fastcgi", "scgi", "uwsgi"] {
                let text = text(&Config {
                    server: server.to_owned(),
                    wsgi: None,
                    by: by.to_owned(),
                    prefix: "/app".to_owned(),
                    socket: "/run/x.sock".to_owned(),
                })
                .unwrap();
                let is_open = |word: &str| text.contains(word);
                assert!(
                    !["WHAT", "OPTIONS", "PLACE", "SOCKET", "PROTOCOL"]
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
    fn a_python_app_is_reached_by_http() {
        for server in ["nginx", "apache"] {
            let mut config = Config {
                server: server.to_owned(),
                wsgi: Some("mysite.wsgi".to_owned()),
                by: "http".to_owned(),
                prefix: "/app".to_owned(),
                socket: "/run/x.sock".to_owned(),
            };
            let printed = text(&config).unwrap();
            let start = "#   vestibule wsgi mysite.wsgi --listen unix:/run/x.sock --trust-proxy unix \
                         --mount /app --socket-mode 660\n";
            assert!(printed.contains(start), "{printed}");
            assert!(
                printed.contains("75")
                    && printed.contains("/run/x.sock|http") == (server == "apache")
            );
            config.by = "uwsgi".to_owned();
            assert!(text(&config).unwrap_err().contains("HTTP only"));
        }
    }

    #[test]
    fn nginx_by_fastcgi() {
        let config = Config {
            server: "nginx".to_owned(),
            wsgi: None,
            by: "fastcgi".to_owned(),
            prefix: String::new(),
            socket: "/run/x.sock".to_owned(),
        };
        assert_eq!(
            text(&config).unwrap(),
            "\
# Start, in the group of the web server (www-data on Debian), which opens the socket:
#   vestibule serve DIR --fastcgi unix:/run/x.sock --socket-mode 660
location / {
    include fastcgi_params;
    fastcgi_param HTTP_PROXY \"\";
    fastcgi_pass unix:/run/x.sock;
}
"
        );
    }
}
