use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use crate::catalogue::{Shared, json};

/// A server of its own on a copy of one gallery.
pub(crate) struct Server {
    process: Child,
    address: String,
    folder: TempDir,
}

/// A form: fields, then pictures with their names.
pub(crate) type Form<'a> = (&'a [(&'a str, &'a str)], &'a [(&'a str, &'a [u8])]);

impl Server {
    pub(crate) fn start(more: &[&str]) -> Server {
        let folder = tempfile::tempdir().unwrap();
        fs::copy(filled_gallery(), folder.path().join("shop.gallery")).unwrap();
        Server::start_in(folder, more)
    }

    fn start_in(folder: TempDir, more: &[&str]) -> Server {
        let mut command = Server::command(folder.path(), "127.0.0.1:0");
        let mut process = command.args(more).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        let said: Value = serde_json::from_str(&line).unwrap();
        let address = said["url"].as_str().unwrap().strip_prefix("http://").unwrap().to_owned();
        Server { process, address, folder }
    }

    /// `serve` with the gallery of a folder.
    pub(crate) fn command(folder: &Path, listen: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_centroids"));
        command.args(["serve", "--json", "--listen", listen, "--store"]);
        command.arg(folder.join("shop.gallery")).env("CENTROIDS_LOG", "error");
        command
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn signal(&self, name: &str) {
        let pid = self.process.id().to_string();
        assert!(Command::new("kill").args([name, &pid]).status().unwrap().success());
    }

    /// Waits for its end.
    pub(crate) fn ended(&mut self) -> ExitStatus {
        self.process.wait().unwrap()
    }

    /// Another one on the same gallery, after the end of this one.
    pub(crate) fn again(mut self) -> Server {
        self.process.wait().unwrap();
        let folder = std::mem::replace(&mut self.folder, tempfile::tempdir().unwrap());
        Server::start_in(folder, &[])
    }

    pub(crate) fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        request(&self.address, "GET", path, &[], b"")
    }

    pub(crate) fn delete(&self, path: &str) -> Answer {
        request(&self.address, "DELETE", path, &[], b"")
    }

    pub(crate) fn post(&self, path: &str, body: &Value) -> Answer {
        let kind = [("content-type", "application/json")];
        request(&self.address, "POST", path, &kind, body.to_string().as_bytes())
    }

    pub(crate) fn form(&self, method: &str, path: &str, form: Form<'_>) -> Answer {
        let (kind, body) = encode(form);
        request(&self.address, method, path, &[("content-type", &kind)], &body)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A gallery with the pictures of the shared catalogue's gallery, made once.
fn filled_gallery() -> &'static Path {
    static FILE: OnceLock<PathBuf> = OnceLock::new();
    FILE.get_or_init(|| {
        let shared = Shared::get();
        let file = shared.catalogue().with_file_name("served.gallery");
        let name = file.to_str().unwrap();
        json(["index", "create", name, "--model", shared.run().to_str().unwrap()]);
        json(["index", "add", name, shared.catalogue().to_str().unwrap(), "--split", "gallery"]);
        file
    })
}

/// Type and body of a form.
pub(crate) fn encode((fields, pictures): Form<'_>) -> (String, Vec<u8>) {
    let mut body = Vec::new();
    for (name, value) in fields {
        let part =
            format!("--x--\r\ncontent-disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n");
        body.extend(part.bytes());
    }
    for (name, bytes) in pictures {
        let disposition = format!("form-data; name=\"image\"; filename=\"{name}\"");
        body.extend(format!("--x--\r\ncontent-disposition: {disposition}\r\n\r\n").bytes());
        body.extend(*bytes);
        body.extend(b"\r\n");
    }
    body.extend(b"--x----\r\n");
    ("multipart/form-data; boundary=x--".to_owned(), body)
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|(key, _)| key == name);
        found.map_or("", |(_, value)| value)
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body of an answer that is none of refusal.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        assert!((200..300).contains(&self.status), "{} {}", self.status, self.text());
        serde_json::from_slice(&self.body).unwrap()
    }
}

/// A request on a connection of its own.
pub(crate) fn request(
    address: &str,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Answer {
    let mut stream = TcpStream::connect(address).unwrap();
    // A server that refuses a body does not read it to its end.
    let _ = stream.write_all(&head(method, path, headers, body.len()));
    let _ = stream.write_all(body);
    answer(&mut stream).unwrap()
}

/// The first lines of a request.
pub(crate) fn head(method: &str, path: &str, headers: &[(&str, &str)], length: usize) -> Vec<u8> {
    let mut head = format!("{method} {path} HTTP/1.1\r\nconnection: close\r\n");
    if !headers.iter().any(|(name, _)| *name == "host") {
        head.push_str("host: localhost\r\n");
    }
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str(&format!("content-length: {length}\r\n\r\n"));
    head.into_bytes()
}

/// Reads until the server closes; `None` if it says nothing.
pub(crate) fn answer(stream: &mut TcpStream) -> Option<Answer> {
    let mut bytes = Vec::new();
    // A connection that is reset has said all it will.
    let _ = stream.read_to_end(&mut bytes);
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")?;
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let mut lines = head.lines();
    let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
    let header = |line: &str| {
        let (name, value) = line.split_once(':')?;
        Some((name.to_ascii_lowercase(), value.trim().to_owned()))
    };
    Some(Answer {
        status,
        headers: lines.filter_map(header).collect(),
        body: bytes[end + 4..].to_vec(),
    })
}

/// A small picture that differs from that of any other number.
pub(crate) fn painted(number: u32) -> Vec<u8> {
    let mut picture = b"P6 8 8 255\n".to_vec();
    let [_, a, b, c] = number.to_be_bytes();
    picture.extend((0..64_u8).flat_map(|pixel| [a.wrapping_add(pixel), b, c.wrapping_mul(3)]));
    picture
}
