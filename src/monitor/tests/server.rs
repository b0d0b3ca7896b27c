//! A WebSocket server that does what a test says, step by step: as ours does, or as an original one.

use serde_json::{Value, json};
use std::io::ErrorKind;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::time::Duration;
use tungstenite::protocol::CloseFrame;
use tungstenite::{Error, Message, WebSocket};

/// Longest that anything is waited for.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);
pub(crate) const EPOCH: &str = "0123456789abcdef";

pub(crate) struct Server {
    listener: TcpListener,
}

impl Server {
    pub(crate) fn bind() -> Server {
        Server::at(0)
    }

    /// In the place of one that is gone.
    pub(crate) fn at(port: u16) -> Server {
        Server { listener: TcpListener::bind(("127.0.0.1", port)).unwrap() }
    }

    pub(crate) fn port(&self) -> u16 {
        self.listener.local_addr().unwrap().port()
    }

    /// The next connection, before its handshake.
    #[track_caller]
    pub(crate) fn accept_bare(&self) -> TcpStream {
        use rustix::event::{PollFd, PollFlags, Timespec, poll};
        let limit = Timespec::try_from(LIMIT).unwrap();
        let ready = poll(&mut [PollFd::new(&self.listener, PollFlags::IN)], Some(&limit)).unwrap();
        assert_eq!(ready, 1, "nobody connects");
        let (stream, _) = self.listener.accept().unwrap();
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        stream.set_nodelay(true).unwrap();
        stream
    }

    #[track_caller]
    pub(crate) fn accept(&self) -> Peer {
        Peer { socket: tungstenite::accept(self.accept_bare()).unwrap() }
    }

    /// As ours does up to the first event: greets, takes the subscription, tells how the pool is.
    #[track_caller]
    pub(crate) fn serve(&self, seq: u64, status: &Value) -> Peer {
        let mut peer = self.accept();
        peer.welcome(EPOCH, seq);
        peer.take_subscription(seq, true);
        peer.answer_status(status);
        peer
    }
}

/// The server's end of a connection. Dropping it cuts the connection, without a word.
pub(crate) struct Peer {
    pub(crate) socket: WebSocket<TcpStream>,
}

impl Peer {
    /// What the client says next.
    #[track_caller]
    pub(crate) fn hear(&mut self) -> Value {
        loop {
            match self.socket.read() {
                Ok(Message::Text(text)) => return serde_json::from_str(&text).unwrap(),
                Ok(Message::Ping(_) | Message::Pong(_)) => {}
                other => panic!("heard {other:?}"),
            }
        }
    }

    /// The code that the client takes its leave with.
    #[track_caller]
    pub(crate) fn hear_close(&mut self) -> u16 {
        loop {
            match self.socket.read() {
                Ok(Message::Close(Some(CloseFrame { code, .. }))) => {
                    // The answer to it goes out with the next read, which then ends.
                    let _ = self.socket.read();
                    return code.into();
                }
                Ok(_) => {}
                Err(error) => panic!("no leave was taken: {error}"),
            }
        }
    }

    /// Whether the client has gone, within the limit.
    pub(crate) fn is_left(&mut self) -> bool {
        loop {
            match self.socket.read() {
                Ok(_) => {}
                Err(Error::Io(error)) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                    return false;
                }
                Err(_) => return true,
            }
        }
    }

    pub(crate) fn send(&mut self, frame: &Value) {
        self.send_text(&frame.to_string());
    }

    pub(crate) fn send_text(&mut self, text: &str) {
        self.socket.send(Message::Text(text.into())).unwrap();
    }

    pub(crate) fn welcome(&mut self, epoch: &str, seq: u64) {
        let data = json!({"connection_id": "c", "server": "claude-comms", "epoch": epoch, "seq": seq});
        self.send(&frame("event", "session.created", data));
    }

    /// Takes the request to subscribe, and returns its data.
    #[track_caller]
    pub(crate) fn take_subscription(&mut self, seq: u64, recovered: bool) -> Value {
        let request = self.hear();
        assert_eq!((&request["type"], &request["event"]), (&json!("request"), &json!("subscribe")), "{request}");
        let data = json!({"status": "subscribed", "channel": request["data"]["channel"], "seq": seq, "epoch": EPOCH,
            "recovered": recovered});
        self.answer(&request, data);
        request["data"].clone()
    }

    #[track_caller]
    pub(crate) fn answer_status(&mut self, status: &Value) {
        let request = self.hear();
        let asked = request["event"].as_str().unwrap_or_default().to_owned();
        assert!(["get_pool_status", "get_workflow_status"].contains(&asked.as_str()), "{request}");
        self.answer(&request, status.clone());
    }

    pub(crate) fn answer(&mut self, request: &Value, data: Value) {
        let mut answer = frame("response", request["event"].as_str().unwrap_or_default(), data);
        answer["correlation_id"] = request["id"].clone();
        self.send(&answer);
    }

    pub(crate) fn event(&mut self, seq: Option<u64>, event: &str, room: &str, data: Value) {
        let mut sent = frame("event", event, data);
        sent["room"] = room.into();
        sent["seq"] = json!(seq);
        self.send(&sent);
    }

    pub(crate) fn close(&mut self, code: u16, reason: &str) {
        let _ = self.socket.close(Some(CloseFrame { code: code.into(), reason: reason.to_owned().into() }));
        // It is sent, and the client's answer awaited, by reading.
        while self.socket.read().is_ok() {}
    }

    /// Goes without a word, as a killed server does.
    pub(crate) fn cut(self) {
        let _ = self.socket.get_ref().shutdown(Shutdown::Both);
    }
}

/// One of the nine keys.
pub(crate) fn frame(kind: &str, event: &str, data: Value) -> Value {
    json!({"id": "1", "correlation_id": null, "type": kind, "event": event, "data": data,
        "timestamp": "2026-11-03T10:20:30.123456+00:00", "room": null, "error_code": null, "error_message": null})
}
