//! An answer in the words of the client's protocol: text on HTTP/1, fields and data on HTTP/2.

use std::future::poll_fn;
use std::io::{self, Write};

use bytes::Bytes;
use edge_conn::Client;
use http::{HeaderName, HeaderValue, Response, StatusCode};
use tokio::io::AsyncWriteExt;

use super::server::Trouble;

/// A head, and on HTTP/1 what follows it at once.
pub(super) struct Reply {
    pub(super) text: Vec<u8>,
    /// On HTTP/2, in place of the text.
    response: Option<Response<()>>,
}

impl Reply {
    pub(super) fn to(client: &Client<'_>) -> Self {
        Self {
            text: Vec::with_capacity(TEXT),
            response: match client {
                Client::Http1(_) => None,
                Client::Http2(_) => Some(Response::new(())),
            },
        }
    }

    pub(super) fn is_http2(&self) -> bool {
        self.response.is_some()
    }

    /// Begins a head.
    pub(super) fn begin(&mut self, status: u16, reason: &str) -> Result<(), Trouble> {
        self.text.clear();
        if let Some(response) = &mut self.response {
            *response = Response::new(());
            *response.status_mut() = StatusCode::from_u16(status).map_err(|_| Trouble::Broken)?;
            return Ok(());
        }
        self.text.extend_from_slice(b"HTTP/1.1 ");
        match status {
            200 => self.text.extend_from_slice(b"200 "),
            _ => {
                let _ = write!(self.text, "{status} ");
            }
        }
        self.text.extend_from_slice(reason.as_bytes());
        self.text.extend_from_slice(b"\r\n");
        Ok(())
    }

    /// Adds a field to the head.
    pub(super) fn field(&mut self, name: &str, value: &[u8]) -> Result<(), Trouble> {
        if let Some(response) = &mut self.response {
            let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| Trouble::Broken)?;
            let value = HeaderValue::from_bytes(value).map_err(|_| Trouble::Broken)?;
            response.headers_mut().append(name, value);
            return Ok(());
        }
        self.text.extend_from_slice(name.as_bytes());
        self.text.extend_from_slice(b": ");
        self.text.extend_from_slice(value);
        self.text.extend_from_slice(b"\r\n");
        Ok(())
    }

    /// Ends the head.
    pub(super) fn end(&mut self) {
        self.text.extend_from_slice(b"\r\n");
    }

    /// Sends the head, and on HTTP/1 what was put behind it; `end`: nothing follows.
    pub(super) async fn send(&mut self, client: &mut Client<'_>, end: bool) -> Result<(), Trouble> {
        match client {
            Client::Http1(connection) => connection.write_all(&self.text).await.map_err(slow),
            Client::Http2(stream) => {
                let head = self.response.replace(Response::new(()));
                stream.head(head.unwrap_or_default(), end).map_err(slow)
            }
        }
    }
}

/// Sends bytes that are framed already on HTTP/1, and data on HTTP/2.
pub(super) async fn send(client: &mut Client<'_>, bytes: Bytes, end: bool) -> Result<(), Trouble> {
    match client {
        Client::Http1(connection) => connection.write_all(&bytes).await.map_err(slow),
        Client::Http2(stream) => {
            let mut data = bytes;
            let sent = poll_fn(|cx| stream.poll_data(&mut data, end, cx)).await;
            sent.map_err(slow)
        }
    }
}

/// Lets out what was joined.
pub(super) async fn flush(client: &mut Client<'_>) -> Result<(), Trouble> {
    match client {
        Client::Http1(connection) => connection.flush().await.map_err(slow),
        Client::Http2(_) => Ok(()),
    }
}

pub(super) fn slow(_: io::Error) -> Trouble {
    Trouble::ClientSlow
}

/// Room for most heads.
const TEXT: usize = 2048;
