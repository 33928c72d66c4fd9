use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::catalogue::json as cli;
use crate::service::{Server, answer, encode, head, painted, request};

/// Waits for something that takes a moment.
#[track_caller]
fn soon(done: impl Fn() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < Duration::from_secs(20), "it does not come");
        thread::sleep(Duration::from_millis(10));
    }
}

fn queue_depth(server: &Server) -> f64 {
    let metrics = server.get("/metrics").text();
    let line = metrics.lines().find_map(|line| line.strip_prefix("queue_depth "));
    line.unwrap().parse().unwrap()
}

/// Head of a search whose body comes later.
fn slow_search(server: &Server) -> std::net::TcpStream {
    let mut stream = server.connect();
    stream.write_all(&head("POST", "/v1/search", &[("content-type", "image/jpeg")], 1000)).unwrap();
    stream
}

#[test]
fn who_finds_no_place_is_told_to_come_back_and_who_is_slow_is_cut_off() {
    let server = Server::start(&["--queue", "2", "--timeout", "1"]);
    let mut slow = [slow_search(&server), slow_search(&server)];
    soon(|| queue_depth(&server) == 2.0);
    let refused = server.get("/v1/model");
    assert_eq!((refused.status, refused.header("retry-after")), (429, "1"));
    assert_eq!(server.get("/healthz").status, 200, "who watches it is answered");
    for stream in &mut slow {
        assert_eq!(answer(stream).unwrap().status, 408);
    }
    assert_eq!(server.get("/v1/model").status, 200);
    let many = [("a", painted(1)), ("b", painted(2)), ("c", painted(3))];
    let many: Vec<(&str, &[u8])> = many.iter().map(|(name, bytes)| (*name, &bytes[..])).collect();
    assert_eq!(server.form("POST", "/v1/embed", (&[], &many)).status, 413);
}

#[test]
fn uploads_that_are_broken_off_leave_nothing_behind() {
    let server = Server::start(&["--queue", "4"]);
    for _ in 0..20 {
        let mut stream = slow_search(&server);
        let _ = stream.write_all(&[0xff; 100]);
    }
    soon(|| queue_depth(&server) == 0.0);
    assert_eq!(server.get("/v1/model").status, 200);
}

#[test]
fn giant_headers_are_refused() {
    let server = Server::start(&[]);
    let giant = "x".repeat(1 << 20);
    let mut stream = server.connect();
    let _ = stream.write_all(&head("GET", "/healthz", &[("x-giant", &giant)], 0));
    if let Some(answer) = answer(&mut stream) {
        assert_eq!(answer.status, 431);
    }
    let many: Vec<(String, &str)> = (0..500).map(|i| (format!("x-{i}"), "1")).collect();
    let many: Vec<(&str, &str)> =
        many.iter().map(|(name, value)| (name.as_str(), *value)).collect();
    let mut stream = server.connect();
    let _ = stream.write_all(&head("GET", "/healthz", &many, 0));
    if let Some(answer) = answer(&mut stream) {
        assert_eq!(answer.status, 431);
    }
    let mut stream = server.connect();
    let _ = stream.write_all(b"\x16\x03\x01 not HTTP\r\n\r\n");
    assert!(answer(&mut stream).is_none_or(|answer| answer.status == 400));
    assert_eq!(server.get("/healthz").status, 200);
}

/// Adds a picture, coming back where the server says so; `None` where it has gone.
fn add(address: &str, number: u32) -> Option<Value> {
    let (kind, body) = encode((&[], &[("a", &painted(number))]));
    loop {
        let mut stream = std::net::TcpStream::connect(address).ok()?;
        let path = format!("/v1/classes/class{}", number % 10);
        stream.write_all(&head("PUT", &path, &[("content-type", &kind)], body.len())).ok()?;
        stream.write_all(&body).ok()?;
        let answer = answer(&mut stream)?;
        match answer.status {
            429 => thread::sleep(Duration::from_millis(20)),
            200 | 201 if answer.body.ends_with(b"}") => {
                return serde_json::from_slice(&answer.body).ok();
            }
            _ => return None,
        }
    }
}

#[test]
fn a_hundred_write_at_once_and_all_is_there() {
    let server = Server::start(&[]);
    let before = server.get("/v1/model").json()["gallery"]["members"].as_u64().unwrap();
    let added: Vec<Value> = thread::scope(|scope| {
        let address = server.address();
        let writers: Vec<_> =
            (0..100).map(|number| scope.spawn(move || add(address, number).unwrap())).collect();
        writers.into_iter().map(|writer| writer.join().unwrap()).collect()
    });
    assert!(added.iter().all(|put| put["added"].as_array().unwrap().len() == 1));
    let model = server.get("/v1/model").json();
    assert_eq!(model["gallery"]["members"], before + 100);
    let class = server.get("/v1/classes/class3").json();
    assert_eq!(class["members"].as_array().unwrap().len(), 10);
    let verified = cli(["index", "verify", server.folder().join("shop.gallery").to_str().unwrap()]);
    assert_eq!(verified["sound"], true);
}

#[test]
fn what_was_accepted_is_finished_before_the_end() {
    let mut server = Server::start(&[]);
    let (kind, body) = encode((&[], &[("a", &painted(1))]));
    let mut stream = server.connect();
    stream
        .write_all(&head("PUT", "/v1/classes/boot", &[("content-type", &kind)], body.len()))
        .unwrap();
    stream.write_all(&body[..20]).unwrap();
    soon(|| queue_depth(&server) == 1.0);
    server.signal("-TERM");
    soon(|| std::net::TcpStream::connect(server.address()).is_err());
    stream.write_all(&body[20..]).unwrap();
    let answer = answer(&mut stream).unwrap();
    assert_eq!(answer.status, 201);
    assert!(server.ended().success());
    let server = server.again();
    let class = server.get("/v1/classes/boot").json();
    assert_eq!(class["members"][0]["id"], answer.json()["added"][0]["id"]);
}

/// Whenever it is killed, what it had acknowledged is there, with its picture.
#[test]
fn nothing_that_was_acknowledged_is_lost() {
    let server = Server::start(&[]);
    let (next, acknowledged) = (AtomicU32::new(0), Mutex::new(Vec::new()));
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                while let Some(put) = add(server.address(), next.fetch_add(1, Ordering::Relaxed)) {
                    acknowledged.lock().unwrap().push(put["added"][0].clone());
                }
            });
        }
        soon(|| acknowledged.lock().unwrap().len() > 20);
        server.signal("-KILL");
    });
    let server = server.again();
    for member in acknowledged.into_inner().unwrap() {
        let image = server.get(&format!("/v1/members/{}/image", member["id"]));
        assert_eq!(image.status, 200, "{member}: {}", image.text());
        assert!(Path::new(member["key"].as_str().unwrap()).is_file());
    }
    let verified = cli(["index", "verify", server.folder().join("shop.gallery").to_str().unwrap()]);
    assert_eq!(verified["sound"], true);
}

#[test]
fn a_reload_loses_no_request() {
    let server = Server::start(&[]);
    let (stop, answered) = (AtomicBool::new(false), AtomicU32::new(0));
    let reloads = |outcome: &str| {
        let metrics = server.get("/metrics").text();
        let line = format!("reloads_total{{outcome=\"{outcome}\"}} ");
        metrics.lines().find_map(|of| of.strip_prefix(&line)).map_or(0, |n| n.parse().unwrap())
    };
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    let found = server.form("POST", "/v1/search", (&[], &[("a", &painted(5))]));
                    assert_eq!(found.status, 200, "{}", found.text());
                    answered.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        for round in 1..=3 {
            server.signal("-HUP");
            soon(|| reloads("done") == round);
        }
        stop.store(true, Ordering::Relaxed);
    });
    assert!(answered.load(Ordering::Relaxed) > 0);
    // A gallery that is gone: the old one stays.
    let file = server.folder().join("shop.gallery");
    fs::rename(&file, server.folder().join("elsewhere")).unwrap();
    server.signal("-HUP");
    soon(|| reloads("failed") == 1);
    assert_eq!(server.get("/v1/model").status, 200);
    let other = request(
        server.address(),
        "POST",
        "/v1/members/relabel",
        &[("content-type", "application/json")],
        json!({"ids": [], "class": "a"}).to_string().as_bytes(),
    );
    assert_eq!(other.json(), json!({"members": 0}));
}
