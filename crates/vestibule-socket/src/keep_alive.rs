//! TCP keep-alive: peers that are gone without a word are found.
//!
//! Source: RFC 9293, section 3.8.4 (keep-alive probes); RFC 5482 and tcp(7) (`TCP_USER_TIMEOUT`).

use std::io;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};

use crate::Listener;
use crate::listener::Listening;

impl Listener {
    /// Sets how long a TCP connection may be silent before the kernel asks the peer for a sign of life. `None` turns it
    /// off. Connections that are accepted after this have it; a unix socket has none.
    ///
    /// On Linux a connection ends with an error after twice this time when the peer acknowledges nothing, neither a
    /// probe nor data. The kernel counts in seconds, so less than 1 s is 1 s. Other systems have their own number of
    /// probes.
    ///
    /// # Errors
    ///
    /// When the system does not take the option.
    pub fn set_keep_alive(&self, interval: Option<Duration>) -> io::Result<()> {
        match &self.socket {
            Listening::Tcp(listener) => set(&SockRef::from(listener), interval),
            #[cfg(unix)]
            Listening::Unix(_) => Ok(()),
        }
    }
}

fn set(socket: &SockRef<'_>, interval: Option<Duration>) -> io::Result<()> {
    let Some(interval) = interval else {
        #[cfg(any(target_os = "android", target_os = "linux"))]
        socket.set_tcp_user_timeout(None)?;
        return socket.set_keepalive(false);
    };
    let interval = interval.max(SECOND);
    let probes = TcpKeepalive::new().with_time(interval);
    #[cfg(any(target_os = "android", target_os = "linux"))]
    let probes = probes
        .with_interval((interval / PROBES).max(SECOND))
        .with_retries(PROBES);
    socket.set_tcp_keepalive(&probes)?;
    // While data waits for its acknowledgement there are no probes, but retransmissions for a quarter of an hour.
    #[cfg(any(target_os = "android", target_os = "linux"))]
    socket.set_tcp_user_timeout(Some(interval.saturating_mul(2)))?;
    Ok(())
}

const SECOND: Duration = Duration::from_secs(1);

/// How many probes go unanswered, in as much time again as there was silence.
#[cfg(any(target_os = "android", target_os = "linux"))]
const PROBES: u32 = 4;

#[cfg(all(test, any(target_os = "android", target_os = "linux")))]
mod tests {
    use std::future::poll_fn;

    use super::*;
    use crate::Socket;

    #[tokio::test]
    async fn connections_have_what_their_listener_has() {
        let minute = Duration::from_secs(60);
        // what is asked for; the silence, the time between probes, and the time in all, in seconds
        let cases = [
            (None, None),
            (Some(minute), Some([60, 15, 120])),
            (Some(Duration::from_millis(1)), Some([1, 1, 2])),
            (None, None),
        ];
        let listener = Listener::bind("127.0.0.1:0").await.unwrap();
        for (interval, want) in cases {
            listener.set_keep_alive(interval).unwrap();
            let address = listener.address().to_string();
            let _client = std::net::TcpStream::connect(address).unwrap();
            let accepted = poll_fn(|cx| listener.poll_accept(cx)).await.unwrap();
            let Socket::Tcp(stream) = accepted.0 else {
                unreachable!("it is bound to TCP")
            };
            let socket = SockRef::from(&stream);
            assert_eq!(socket.keepalive().unwrap(), want.is_some());
            let all = socket.tcp_user_timeout().unwrap();
            let Some([silence, between, in_all]) = want else {
                assert_eq!(all, None);
                continue;
            };
            let got = [
                socket.tcp_keepalive_time().unwrap(),
                socket.tcp_keepalive_interval().unwrap(),
                all.unwrap(),
            ];
            assert_eq!(got.map(|it| it.as_secs()), [silence, between, in_all]);
            assert_eq!(socket.tcp_keepalive_retries().unwrap(), PROBES);
        }
    }
}
