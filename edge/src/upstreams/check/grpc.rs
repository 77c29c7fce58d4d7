//! `grpc.health.v1.Health/Check` by hand: two small messages over HTTP/2 (gRPC over HTTP/2; the health
//! checking protocol).

use bytes::{BufMut as _, Bytes, BytesMut};
use http::header;
use pingora::http::RequestHeader;
use pingora::protocols::http::client::HttpSession;

use super::http::USER_AGENT;
use super::reason;

/// Asks over `session` whether `service` is served.
pub(super) async fn ask(session: HttpSession, host: &str, service: &str) -> Result<(), String> {
    let HttpSession::H2(mut session) = session else {
        return Err("the server does not speak HTTP/2".to_owned());
    };
    let request = request(host).map_err(|error| reason(&error))?;
    let wrote = session.write_request_header(Box::new(request), false);
    wrote.map_err(|error| reason(&error))?;
    let wrote = session.write_request_body(question(service), true).await;
    wrote.map_err(|error| reason(&error))?;
    let read = session.read_response_header().await;
    read.map_err(|error| reason(&error))?;
    let head = session.response_header().ok_or("no answer")?;
    if head.status.as_u16() != 200 {
        return Err(format!("status {}", head.status.as_u16()));
    }
    if let Some(code) = grpc_status(&head.headers) {
        return Err(format!("gRPC status {code}"));
    }
    let mut body = BytesMut::new();
    while let Some(part) = session
        .read_response_body()
        .await
        .map_err(|error| reason(&error))?
    {
        if body.len() + part.len() > MOST {
            return Err("the answer is too long".to_owned());
        }
        body.extend_from_slice(&part);
    }
    let trailers = session.read_trailers().await;
    let trailers = trailers.map_err(|error| reason(&error))?;
    if let Some(code) = trailers.as_ref().and_then(grpc_status) {
        return Err(format!("gRPC status {code}"));
    }
    match status(&body) {
        Some(SERVING) => Ok(()),
        Some(other) => Err(format!("the service is not serving (status {other})")),
        None => Err("the answer is no health check response".to_owned()),
    }
}

fn request(host: &str) -> pingora::Result<RequestHeader> {
    let mut request = RequestHeader::build("POST", b"/grpc.health.v1.Health/Check", Some(5))?;
    request.insert_header(header::HOST, host)?;
    request.insert_header(header::CONTENT_TYPE, "application/grpc")?;
    request.insert_header(header::TE, "trailers")?;
    request.insert_header(header::USER_AGENT, USER_AGENT)?;
    Ok(request)
}

/// A code that is not "fine".
fn grpc_status(fields: &http::HeaderMap) -> Option<String> {
    let value = fields.get("grpc-status")?;
    (value != "0").then(|| String::from_utf8_lossy(value.as_bytes()).into_owned())
}

/// `HealthCheckRequest { service }`, framed.
fn question(service: &str) -> Bytes {
    let mut message = BytesMut::new();
    if !service.is_empty() {
        message.put_u8(0x0a); // field 1, length-delimited
        varint(&mut message, service.len());
        message.extend_from_slice(service.as_bytes());
    }
    let mut framed = BytesMut::with_capacity(message.len() + 5);
    framed.put_u8(0); // not compressed
    framed.put_u32(u32::try_from(message.len()).unwrap_or(u32::MAX));
    framed.extend_from_slice(&message);
    framed.freeze()
}

fn varint(out: &mut BytesMut, mut number: usize) {
    while number >= 0x80 {
        out.put_u8((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    out.put_u8((number & 0x7f) as u8);
}

/// `HealthCheckResponse.status` of a framed message; a message without the field says 0, unknown.
fn status(framed: &[u8]) -> Option<u64> {
    let (prefix, message) = framed.split_first_chunk::<5>()?;
    let [compressed, length @ ..] = prefix;
    let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
    if *compressed != 0 || message.len() != length {
        return None;
    }
    let mut rest = message;
    let mut status = 0;
    while !rest.is_empty() {
        let key = take_varint(&mut rest)?;
        match key & 7 {
            0 => {
                let value = take_varint(&mut rest)?;
                if key >> 3 == 1 {
                    status = value;
                }
            }
            1 => rest = rest.get(8..)?,
            2 => {
                let length = usize::try_from(take_varint(&mut rest)?).ok()?;
                rest = rest.get(length..)?;
            }
            5 => rest = rest.get(4..)?,
            _ => return None,
        }
    }
    Some(status)
}

fn take_varint(rest: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..63).step_by(7) {
        let (byte, after) = rest.split_first()?;
        *rest = after;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

/// `ServingStatus.SERVING`.
const SERVING: u64 = 1;
/// Bytes of an answer.
const MOST: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_is_a_framed_message() {
        assert_eq!(question("").as_ref(), [0, 0, 0, 0, 0]);
        assert_eq!(
            question("ab").as_ref(),
            [0, 0, 0, 0, 4, 0x0a, 2, b'a', b'b']
        );
        let long = question(&"x".repeat(200));
        assert_eq!(long.get(..8), Some(&[0, 0, 0, 0, 203, 0x0a, 0xc8, 1][..]));
    }

    #[test]
    fn an_answer_is_read_and_nonsense_is_not() {
        assert_eq!(status(&[0, 0, 0, 0, 2, 8, 1]), Some(SERVING));
        assert_eq!(status(&[0, 0, 0, 0, 2, 8, 2]), Some(2));
        assert_eq!(status(&[0, 0, 0, 0, 0]), Some(0));
        assert_eq!(status(&[0, 0, 0, 0, 6, 0x12, 2, 9, 9, 8, 1]), Some(1));
        for wrong in [
            &[][..],
            &[1, 0, 0, 0, 2, 8, 1],
            &[0, 0, 0, 0, 3, 8, 1],
            &[0, 0, 0, 0, 1, 8],
            &[0, 0, 0, 0, 2, 0x12, 9],
            &[0, 0, 0, 0, 1, 0xff],
        ] {
            assert_eq!(status(wrong), None, "{wrong:?}");
        }
    }
}
