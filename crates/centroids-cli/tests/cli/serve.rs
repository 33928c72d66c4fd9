use std::fs;

use serde_json::{Value, json};

use crate::catalogue::{Shared, json as cli};
use crate::service::{Answer, Server, painted, request};

fn picture() -> Vec<u8> {
    fs::read(Shared::get().picture()).unwrap()
}

/// Every refusal says what, why and in which request.
#[track_caller]
fn refused(answer: &Answer, status: u16, part: &str) {
    assert_eq!(answer.status, status, "{}", answer.text());
    assert_eq!(answer.header("content-type"), "application/problem+json");
    let problem: Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!((&problem["status"], &problem["type"]), (&status.into(), &"about:blank".into()));
    assert_eq!(problem["request_id"], answer.header("x-request-id"));
    assert!(!answer.header("x-request-id").is_empty());
    assert!(problem["detail"].as_str().unwrap().contains(part), "{problem}");
}

#[test]
fn a_picture_is_added_found_and_removed() {
    let server = Server::start(&[]);
    let new = painted(1);
    let find = || server.form("POST", "/v1/search", (&[("k", "1")], &[("a.ppm", &new)])).json();
    assert_ne!(find()["results"][0]["hits"][0]["name"], "red boot");

    let fields = [("camera", "3"), ("attribute", "shop=north"), ("attribute", "size=4")];
    let put = server.form("PUT", "/v1/classes/red%20boot", (&fields, &[("a.ppm", &new)]));
    assert_eq!(put.status, 201);
    let put = put.json();
    assert_eq!((&put["name"], put["added"].as_array().unwrap().len()), (&"red boot".into(), 1));
    let (id, key) =
        (put["added"][0]["id"].as_i64().unwrap(), put["added"][0]["key"].as_str().unwrap());
    assert_eq!(fs::read(key).unwrap(), new);

    let found = find();
    let hit = &found["results"][0]["hits"][0];
    assert_eq!((&hit["name"], &hit["pid"]), (&"red boot".into(), &put["pid"]));
    assert!(hit["distance"].as_f64().unwrap() < 1e-9 && hit["confidence"].is_null());
    assert_eq!(hit["example"]["id"], id);
    let image = server.get(hit["example"]["image"].as_str().unwrap());
    assert_eq!((image.status, image.header("content-type")), (200, "image/jpeg"));

    let class = server.get("/v1/classes/red%20boot").json();
    let member = &class["members"][0];
    assert_eq!(
        (&member["camid"], &member["attributes"]),
        (&3.into(), &json!({"shop": "north", "size": 4}))
    );
    assert_eq!(class["spread"]["max"].as_f64().unwrap(), 0.0);

    let again = server.form("PUT", "/v1/classes/other", (&[], &[("b.ppm", &new)]));
    assert_eq!(again.status, 200, "nothing was made");
    assert_eq!(
        again.json()["already_there"][0],
        json!({"id": id, "key": "b.ppm", "pid": put["pid"]})
    );
    assert_eq!(server.delete(&format!("/v1/members/{id}")).json(), json!({"members": 1}));
    assert!(!std::path::Path::new(key).exists(), "the picture goes with its member");
    refused(&server.delete(&format!("/v1/members/{id}")), 404, "no member");
    refused(&server.get(&format!("/v1/members/{id}/image")), 404, "no member");
    assert_ne!(find()["results"][0]["hits"][0]["name"], "red boot");
}

/// Over HTTP comes what the command finds, for pictures and for their vectors.
#[test]
fn answers_are_those_of_the_command() {
    let server = Server::start(&[]);
    let (file, picture) = (server.folder().join("shop.gallery"), Shared::get().picture());
    for unit in ["centroid", "nearest", "instance"] {
        let fields = [("unit", unit), ("k", "5"), ("camera", "1")];
        let arguments = ["search", "--store", file.to_str().unwrap(), "--image"];
        let more = [picture.to_str().unwrap(), "--unit", unit, "-k", "5", "--camera", "1"];
        let expected = &cli(arguments.iter().chain(&more))["results"][0];
        let bytes = fs::read(&picture).unwrap();
        let form = server.form("POST", "/v1/search", (&fields, &[("q.jpg", &bytes)])).json();
        let path = format!("/v1/search?unit={unit}&k=5&camera=1");
        let raw =
            request(server.address(), "POST", &path, &[("content-type", "image/jpeg")], &bytes);
        let embedded = server.form("POST", "/v1/embed", (&[], &[("q.jpg", &bytes)])).json();
        assert_eq!(embedded["embeddings"][0]["name"], "q.jpg");
        let vector = &embedded["embeddings"][0]["vector"];
        let question = json!({"vectors": [vector, vector], "unit": unit, "k": 5, "camera": 1});
        let vectors = server.post("/v1/search", &question).json();
        assert_eq!(vectors["results"].as_array().unwrap().len(), 2);
        for found in [form, raw.json(), vectors] {
            let found = &found["results"][0];
            assert_eq!(
                found["hits"].as_array().unwrap().len(),
                expected["hits"].as_array().unwrap().len()
            );
            for (hit, right) in
                found["hits"].as_array().unwrap().iter().zip(expected["hits"].as_array().unwrap())
            {
                assert_eq!((&hit["pid"], &hit["rank"]), (&right["pid"], &right["rank"]));
                assert_eq!(hit["example"]["key"], right["example"]);
                let [a, b] = [hit, right].map(|hit| hit["distance"].as_f64().unwrap());
                assert!((a - b).abs() < 1e-6, "{a} {b}");
            }
        }
    }
}

#[test]
fn pictures_of_one_request_are_answered_in_their_order() {
    let server = Server::start(&[]);
    let pictures: Vec<Vec<u8>> = (0..5).map(|number| painted(number * 0x0f_0f_0f)).collect();
    let named: Vec<(&str, &[u8])> =
        ["a", "b", "c", "d", "e"].into_iter().zip(pictures.iter().map(Vec::as_slice)).collect();
    let together = server.form("POST", "/v1/embed", (&[], &named)).json();
    for (i, one) in named.iter().enumerate() {
        let alone = server.form("POST", "/v1/embed", (&[], &[*one])).json();
        let [a, b] = [&alone["embeddings"][0], &together["embeddings"][i]];
        assert_eq!(a["name"], b["name"]);
        for (a, b) in a["vector"].as_array().unwrap().iter().zip(b["vector"].as_array().unwrap()) {
            let [a, b] = [a, b].map(|value| value.as_f64().unwrap());
            assert!((a - b).abs() < 1e-4, "{a} {b}");
        }
    }
}

#[test]
fn classes_are_listed_page_by_page() {
    let server = Server::start(&[]);
    let all = server.get("/v1/classes?limit=1000").json();
    assert!(all["next"].is_null());
    let all = all["classes"].as_array().unwrap().clone();
    let (mut pages, mut next) = (Vec::new(), String::new());
    loop {
        let page = server.get(&format!("/v1/classes?limit=2{next}")).json();
        pages.extend(page["classes"].as_array().unwrap().clone());
        if page["next"].is_null() {
            break;
        }
        next = format!("&after={}", page["next"]);
    }
    assert_eq!(pages, all);
    let model = server.get("/v1/model").json();
    assert_eq!(model["gallery"]["classes"], all.len());
    assert_eq!(
        (&model["auth"], &model["writable"], &model["dim"]),
        (&"none".into(), &true.into(), &512.into())
    );

    server.form("PUT", "/v1/classes/Sandal", (&[], &[("a", &painted(7))])).json();
    let found = server.get("/v1/classes?search=sAND").json();
    assert_eq!(
        (&found["classes"][0]["name"], found["classes"].as_array().unwrap().len()),
        (&"Sandal".into(), 1)
    );
    let image = server.get(found["classes"][0]["example"].as_str().unwrap());
    assert_eq!(image.status, 200);
    refused(&server.get("/v1/classes?limit=0"), 400, "1 to 1000");
    refused(&server.get("/v1/classes?page=2"), 400, "page");
}

#[test]
fn members_move_and_are_set_aside() {
    let server = Server::start(&[]);
    let put = |name: &str, number| {
        let path = format!("/v1/classes/{name}");
        server.form("PUT", &path, (&[], &[("a", &painted(number))])).json()["added"][0]["id"]
            .clone()
    };
    let (a, b) = (put("a", 100), put("b", 200));
    let members =
        |class: &str| server.get(&format!("/v1/classes/{class}")).json()["members"].clone();
    let one = json!({"members": 1});
    assert_eq!(
        server.post("/v1/members/quarantine", &json!({"ids": [a], "quarantined": true})).json(),
        one
    );
    assert_eq!(
        (&members("a")[0]["quarantined"], &members("a")[0]["distance"]),
        (&true.into(), &Value::Null)
    );
    assert_eq!(
        server.post("/v1/members/quarantine", &json!({"ids": [a], "quarantined": false})).json(),
        one
    );
    assert_eq!(
        server.post("/v1/members/relabel", &json!({"ids": [a, 999_999], "class": "b"})).json(),
        one
    );
    refused(&server.get("/v1/classes/a"), 404, "`a`");
    assert_eq!(members("b").as_array().unwrap().len(), 2);
    assert_eq!(
        server.post("/v1/classes/merge", &json!({"classes": ["b"], "into": "c"})).json(),
        json!({"members": 2})
    );
    refused(&server.post("/v1/classes/merge", &json!({"classes": ["b"], "into": "c"})), 404, "`b`");
    assert_eq!(server.delete("/v1/classes/c").json(), json!({"members": 2}));
    refused(&server.get(&format!("/v1/members/{b}/image")), 404, "no member");
    let left = fs::read_dir(server.folder().join("shop.gallery.uploads")).unwrap();
    let pictures = left.flat_map(|folder| fs::read_dir(folder.unwrap().path()).unwrap());
    assert_eq!(pictures.count(), 0);
}

#[test]
fn what_cannot_be_done_is_refused() {
    let server = Server::start(&["--max-body", "1", "--max-pixels", "1"]);
    let send = |method: &str, path: &str, kind: &str, body: &[u8]| {
        request(server.address(), method, path, &[("content-type", kind)], body)
    };
    let json = |path: &str, body: &str| send("POST", path, "application/json", body.as_bytes());
    let form = |fields: &[(&str, &str)], bytes: &[u8]| {
        server.form("POST", "/v1/search", (fields, &[("q.jpg", bytes)]))
    };
    refused(&server.get("/v2"), 404, "/docs/");
    refused(&server.delete("/v1/model"), 405, "method");
    refused(&json("/v1/search", "{"), 400, "EOF");
    refused(&json("/v1/search", r#"{"vectors":[[1,2]],"kk":3}"#), 422, "kk");
    refused(&json("/v1/search", r#"{"vectors":[[1,2]]}"#), 422, "2 dimensions");
    refused(&json("/v1/search", r#"{"vectors":[]}"#), 422, "no vectors");
    refused(&json("/v1/search", r#"{"vectors":[[1]],"where":["x"]}"#), 422, "KEY=VALUE");
    refused(&json("/v1/members/relabel", r#"{"ids":[1],"class":"-1"}"#), 422, "junk");
    refused(&json("/v1/members/relabel", r#"{"ids":[1],"class":"a\nb"}"#), 422, "printable");
    refused(&send("POST", "/v1/members/relabel", "text/plain", b"{}"), 415, "application/json");
    refused(&send("POST", "/v1/search", "text/plain", b"hello"), 415, "image");
    refused(&send("POST", "/v1/search", "multipart/form-data", b"hello"), 400, "boundary");
    refused(
        &send("POST", "/v1/search", "multipart/form-data; boundary=x", b"--x\r\nbroken"),
        400,
        "",
    );
    refused(&form(&[("k", "0")], &picture()), 422, "k = 0");
    refused(&form(&[("k", "many")], &picture()), 422, "k = many");
    refused(&form(&[("kk", "1")], &picture()), 422, "`kk`");
    refused(&form(&[("unit", "furlong")], &picture()), 422, "furlong");
    refused(&server.form("POST", "/v1/search", (&[("k", "1")], &[])), 422, "no picture");
    refused(&server.get("/v1/members/1/image?size=5"), 400, "size = 5");
    refused(&server.get("/v1/members/x/image"), 400, "");
    refused(&server.get("/v1/members/-9223372036854775808/image"), 404, "no member");

    let broken = &picture()[..picture().len() / 2];
    refused(&form(&[], broken), 422, "q.jpg");
    refused(&form(&[], b"no picture"), 422, "q.jpg");
    refused(&send("POST", "/v1/search", "image/jpeg", b""), 422, "empty");
    let put = server.form("PUT", "/v1/classes/boot", (&[], &[("x", broken)]));
    refused(&put, 422, "cut off");
    refused(&server.get("/v1/classes/boot"), 404, "boot");
    let large = [b"P5 1100 950 255\n".as_slice(), &vec![0; 1100 * 950]].concat();
    refused(&form(&[], &large), 422, "1100");
    refused(&form(&[], &vec![0; 3 << 20]), 413, "larger");
    // Nothing of that did any harm.
    assert_eq!(form(&[("k", "1")], &picture()).status, 200);
}

#[test]
fn a_token_opens_what_it_is_for() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tokens");
    fs::write(&file, "# ours\nread reader-0123456789\nwrite writer-0123456789\n").unwrap();
    let server = Server::start(&["--token-file", file.to_str().unwrap()]);
    let with = |method: &str, path: &str, token: &str| {
        let bearer = format!("Bearer {token}");
        request(
            server.address(),
            method,
            path,
            &[("authorization", &bearer), ("host", "shop.example")],
            b"",
        )
    };
    for open in ["/", "/healthz", "/readyz", "/openapi.json", "/docs/"] {
        assert_eq!(server.get(open).status, 200, "{open}");
    }
    for guarded in ["/v1/model", "/v1/classes", "/metrics", "/v1/members/1/image"] {
        let answer = server.get(guarded);
        refused(&answer, 401, "Bearer");
        assert_eq!(answer.header("www-authenticate"), "Bearer");
        refused(&with("GET", guarded, "reader-0123456780"), 401, "not known");
        assert_eq!(with("GET", guarded, "reader-0123456789").status, 200, "{guarded}");
        assert_eq!(with("GET", guarded, "writer-0123456789").status, 200, "{guarded}");
    }
    assert_eq!(with("GET", "/v1/model", "reader-0123456789").json()["auth"], "token");
    refused(&server.delete("/v1/members/1"), 401, "Bearer");
    refused(&with("DELETE", "/v1/members/1", "reader-0123456789"), 403, "not write");
    assert_eq!(with("DELETE", "/v1/members/1", "writer-0123456789").status, 200);
    refused(&with("DELETE", "/v1/members/1", "writer-0123456789"), 404, "no member 1");
}

#[test]
fn nobody_writes_where_nothing_may_change() {
    let server = Server::start(&["--read-only"]);
    assert_eq!(server.get("/v1/model").json()["writable"], false);
    refused(&server.delete("/v1/members/1"), 403, "changes nothing");
    let put = server.form("PUT", "/v1/classes/boot", (&[], &[("a", &painted(1))]));
    refused(&put, 403, "changes nothing");
    assert!(!server.folder().join("shop.gallery.uploads").exists());
}

#[test]
fn a_page_elsewhere_cannot_ask_through_a_browser() {
    let server = Server::start(&["--cors", "https://shop.example"]);
    let from = |origin: &str| {
        let headers = [("origin", origin), ("access-control-request-method", "PUT")];
        let answer = request(server.address(), "OPTIONS", "/v1/classes/a", &headers, b"");
        answer.header("access-control-allow-origin").to_owned()
    };
    assert_eq!(from("https://shop.example"), "https://shop.example");
    assert_eq!(from("https://evil.example"), "");
    let rebound = request(server.address(), "GET", "/v1/model", &[("host", "evil.example")], b"");
    refused(&rebound, 403, "localhost");
}

#[test]
fn the_page_and_the_manual_are_in_the_binary() {
    let server = Server::start(&[]);
    let page = server.get("/");
    assert!(page.header("content-type").starts_with("text/html"));
    let policy = page.header("content-security-policy");
    assert!(policy.starts_with("default-src 'self'; img-src 'self' blob: data:"), "{policy}");
    assert_eq!(page.header("x-content-type-options"), "nosniff");
    assert!(server.get("/docs/").text().contains("swagger"));
    assert!(server.get("/docs/swagger-ui-bundle.js").body.len() > 100_000);
    let document = server.get("/openapi.json").json();
    assert_eq!(document["openapi"], "3.1.0");
    for (path, method) in [
        ("/v1/search", "post"),
        ("/v1/classes/{class}", "put"),
        ("/v1/members/{id}/image", "get"),
        ("/metrics", "get"),
    ] {
        assert!(document["paths"][path][method]["responses"]["200"].is_object(), "{path}");
    }
    let metrics = server.get("/metrics").text();
    for name in ["gallery_members ", "queue_depth ", "http_server_request_duration_seconds_bucket"]
    {
        assert!(metrics.contains(name), "{name} is not in\n{metrics}");
    }
}

#[test]
fn what_cannot_be_served_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let fails = |command: &mut std::process::Command, part: &str| {
        let output = command.env_remove("CENTROIDS_TOKEN").output().unwrap();
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!((output.status.code(), text.lines().count()), (Some(1), 1), "{text}");
        assert!(text.starts_with("error: ") && text.contains(part), "{text}");
    };
    let command = || Server::command(folder.path(), "127.0.0.1:0");
    fails(&mut command(), "there is no gallery");
    let other = folder.path().join("shop.gallery");
    cli(["index", "create", other.to_str().unwrap(), "--dim", "4"]);
    fails(&mut command(), "--model");
    fails(&mut Server::command(folder.path(), "0.0.0.0:0"), "a token is needed");
    let tokens = folder.path().join("tokens");
    fs::write(&tokens, "read short\n").unwrap();
    fails(command().arg("--token-file").arg(&tokens), "line 1");
    let server = Server::start(&[]);
    fails(&mut Server::command(server.folder(), server.address()), "cannot listen");
}
