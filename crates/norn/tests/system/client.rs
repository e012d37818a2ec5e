//! HTTP as a client speaks it: one connection, request after request.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;

use crate::harness::PATIENCE;

/// Header names and values of a request.
pub(crate) type Headers<'a> = &'a [(&'a str, &'a str)];

/// An answer.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }
}

/// A client that keeps its connection, and makes another one when it is gone.
pub(crate) struct Client {
    address: String,
    connection: Option<BufReader<TcpStream>>,
}

impl Client {
    pub(crate) fn new(address: &str) -> Self {
        Self { address: address.to_owned(), connection: None }
    }

    /// `None` where no connection can be made, or it breaks before the whole answer is there.
    pub(crate) fn request(&mut self, method: &str, path: &str, headers: Headers<'_>, body: &[u8]) -> Option<Answer> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => self.connect()?,
        };
        let mut message = format!("{method} {path} HTTP/1.1\r\nHost: {}\r\n", self.address);
        for (name, value) in headers {
            message.push_str(&format!("{name}: {value}\r\n"));
        }
        message.push_str(&format!("Content-Length: {}\r\n\r\n", body.len()));
        let mut message = message.into_bytes();
        message.extend_from_slice(body);
        connection.get_mut().write_all(&message).ok()?;
        let answer = read_answer(&mut connection)?;
        self.connection = Some(connection);
        Some(answer)
    }

    fn connect(&self) -> Option<BufReader<TcpStream>> {
        let connection = TcpStream::connect(&self.address).ok()?;
        connection.set_read_timeout(Some(PATIENCE)).ok()?;
        connection.set_nodelay(true).ok()?;
        Some(BufReader::new(connection))
    }
}

fn read_answer(connection: &mut BufReader<TcpStream>) -> Option<Answer> {
    let status = read_line(connection)?.split(' ').nth(1)?.parse().ok()?;
    let (mut length, mut chunked) = (0, false);
    loop {
        let line = read_line(connection)?.to_ascii_lowercase();
        match line.split_once(": ") {
            Some(("content-length", value)) => length = value.parse().ok()?,
            Some(("transfer-encoding", "chunked")) => chunked = true,
            Some(_) => {}
            None => break,
        }
    }
    let body = if chunked { read_chunks(connection)? } else { read_bytes(connection, length)? };
    Some(Answer { status, body })
}

fn read_line(connection: &mut BufReader<TcpStream>) -> Option<String> {
    let mut line = String::new();
    connection.read_line(&mut line).ok()?;
    line.strip_suffix("\r\n").map(str::to_owned)
}

fn read_bytes(connection: &mut BufReader<TcpStream>, length: usize) -> Option<Vec<u8>> {
    let mut bytes = vec![0; length];
    connection.read_exact(&mut bytes).ok()?;
    Some(bytes)
}

fn read_chunks(connection: &mut BufReader<TcpStream>) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let size = usize::from_str_radix(read_line(connection)?.trim(), 16).ok()?;
        body.extend(read_bytes(connection, size)?);
        read_line(connection)?;
        if size == 0 {
            return Some(body);
        }
    }
}
