//! The file API against the real executable.

#![allow(clippy::unwrap_used, reason = "test code")]

mod common;

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};

use common::{Reply, Toolbox, find};
use serde_json::{Value, json};

fn form(parts: &[(&str, Option<&str>, &[u8])]) -> (String, Vec<u8>) {
    let boundary = "test-boundary-1";
    let mut body = Vec::new();
    for (name, file_name, content) in parts {
        let file_name = file_name.map_or(String::new(), |name| format!("; filename=\"{name}\""));
        write!(
            body,
            "--{boundary}\r\nContent-Disposition: form-data; name=\"{name}\"{file_name}\r\n\r\n"
        )
        .unwrap();
        body.extend_from_slice(content);
        body.extend_from_slice(b"\r\n");
    }
    write!(body, "--{boundary}--\r\n").unwrap();
    (format!("multipart/form-data; boundary={boundary}"), body)
}

fn send_form(toolbox: &Toolbox, target: &str, parts: &[(&str, Option<&str>, &[u8])]) -> Reply {
    let (kind, body) = form(parts);
    toolbox.send("POST", target, &[("Content-Type", &kind)], &body)
}

/// The parts of a bulk download: name, requested path, content.
fn parts(reply: &Reply) -> Vec<(String, String, Vec<u8>)> {
    let kind = reply.header("content-type").unwrap();
    let boundary = kind.strip_prefix("multipart/form-data; boundary=").unwrap();
    let delimiter = format!("--{boundary}");
    let mut rest = reply.body.as_slice();
    let mut parts = Vec::new();
    loop {
        rest = rest
            .strip_prefix(delimiter.as_bytes())
            .expect("a delimiter");
        if rest == b"--\r\n" {
            return parts;
        }
        let head_end = find(rest, b"\r\n\r\n").unwrap();
        let head = std::str::from_utf8(&rest[2..head_end]).unwrap();
        let field = |start: &str, end: char| {
            let from = head.find(start).unwrap() + start.len();
            head[from..].split(end).next().unwrap().to_owned()
        };
        let length: usize = field("Content-Length: ", '\r').parse().unwrap();
        assert!(!field("filename=\"", '"').is_empty());
        let exact = field("filename*=utf-8''", '\r');
        let exact = percent_encoding::percent_decode_str(&exact)
            .decode_utf8()
            .unwrap()
            .into_owned();
        let content = rest[head_end + 4..head_end + 4 + length].to_vec();
        parts.push((field("; name=\"", '"'), exact, content));
        rest = &rest[head_end + 4 + length + 2..];
    }
}

fn names(listing: &Value) -> Vec<&str> {
    listing
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| entry["name"].as_str().unwrap())
        .collect()
}

fn failure(reply: &Reply, status: u16, code: &str) {
    assert_eq!(reply.status, status, "{}", reply.text());
    let body = reply.json();
    assert_eq!(body["code"], code, "{body}");
    assert_eq!(body["source"], "DAYTONA_DAEMON");
}

#[test]
fn a_listing_is_sorted_and_follows_links_but_leaves_out_dangling_ones() {
    let toolbox = Toolbox::start();
    let home = toolbox.home();
    fs::create_dir_all(home.join("dir/deep")).unwrap();
    fs::write(home.join("dir/deep/file"), b"12345").unwrap();
    fs::write(home.join("a"), b"").unwrap();
    symlink("dir", home.join("link")).unwrap();
    symlink("nowhere", home.join("dangling")).unwrap();
    let listing = toolbox.get("/files").json();
    assert_eq!(names(&listing), ["a", "dir", "link"]);
    assert_eq!(listing[2]["isDir"], true);
    assert_eq!(listing[1]["path"], home.join("dir").to_str().unwrap());
    let listing = toolbox.get("/files/?path=.&depth=3").json();
    assert_eq!(names(&listing), ["a", "dir", "deep", "file", "link"]);
    assert_eq!(listing[3]["size"], 5);
    assert_eq!(toolbox.get("/files?path=dir/deep/file").status, 400);
    assert_eq!(toolbox.get("/files?depth=0").status, 400);
    failure(&toolbox.get("/files?path=missing"), 404, "FILE_NOT_FOUND");
    failure(&toolbox.get("/files?path=/root"), 403, "FILE_ACCESS_DENIED");
    fs::create_dir(home.join("empty")).unwrap();
    assert_eq!(toolbox.get("/files?path=empty").json(), json!([]));
}

#[test]
fn info_describes_a_file_as_clients_expect() {
    let toolbox = Toolbox::start();
    let path = toolbox.home().join("with space+ü");
    fs::write(&path, b"abc").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    std::os::unix::fs::chown(&path, Some(65534), Some(65534)).unwrap();
    for query in ["with+space%2B%C3%BC", "with%20space%2B%c3%bc"] {
        let info = toolbox.get(&format!("/files/info?path={query}")).json();
        assert_eq!(info["name"], "with space+ü");
        assert_eq!(info["mode"], "-rw-r-----");
        assert_eq!(info["permissions"], "0640");
        assert_eq!(info["owner"], "65534");
        assert_eq!(info["isDir"], false);
        assert!(info["modTime"].as_str().unwrap().ends_with(" +0000 UTC"));
        assert!(info["modifiedAt"].as_str().unwrap().ends_with('Z'));
    }
    failure(&toolbox.get("/files/info"), 400, "BAD_REQUEST");
}

#[test]
fn uploads_belong_to_the_user_and_respect_permissions() {
    let toolbox = Toolbox::start();
    let reply = send_form(
        &toolbox,
        "/files/bulk-upload",
        &[
            ("files[0].path", None, b"new/dir/a.txt"),
            (
                "files[1].path",
                None,
                toolbox.home().join("b").to_str().unwrap().as_bytes(),
            ),
            ("files[0].file", Some("a.txt"), b"first"),
            ("files[1].file", Some("b"), b""),
        ],
    );
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert_eq!(
        reply.json()["files"][0],
        json!({"path": "new/dir/a.txt", "bytes": 5})
    );
    let stored = toolbox.home().join("new/dir/a.txt");
    assert_eq!(fs::read(&stored).unwrap(), b"first");
    let facts = fs::metadata(&stored).unwrap();
    assert_eq!((facts.uid(), facts.mode() & 0o777), (65534, 0o644));
    let facts = fs::metadata(stored.parent().unwrap()).unwrap();
    assert_eq!((facts.uid(), facts.mode() & 0o777), (65534, 0o755));
    let reply = toolbox.send("POST", "/files/upload-v2?path=/etc/nope", &[], b"x");
    failure(&reply, 403, "FILE_ACCESS_DENIED");
}

#[test]
fn one_bad_file_of_many_is_reported_and_the_others_are_kept() {
    let toolbox = Toolbox::start();
    fs::create_dir(toolbox.home().join("dir")).unwrap();
    let reply = send_form(
        &toolbox,
        "/files/bulk-upload",
        &[
            ("files[0].path", None, b"dir"),
            ("files[0].file", Some("x"), b"cannot be"),
            ("files[1].path", None, b"fine"),
            ("files[1].file", Some("x"), b"can be"),
            ("files[2].file", Some("x"), b"nowhere to go"),
        ],
    );
    assert_eq!(reply.status, 400);
    let body = reply.json();
    assert_eq!(body["errors"].as_array().unwrap().len(), 2, "{body}");
    assert_eq!(fs::read(toolbox.home().join("fine")).unwrap(), b"can be");
}

#[test]
fn the_single_file_routes_take_forms_and_raw_bodies() {
    let toolbox = Toolbox::start();
    let reply = send_form(
        &toolbox,
        "/files/upload?path=one",
        &[("file", Some("x"), b"1")],
    );
    assert_eq!((reply.status, reply.body.len()), (200, 0));
    let reply = send_form(
        &toolbox,
        "/files/upload-v2?path=two",
        &[("file", Some("x"), b"22")],
    );
    assert_eq!(reply.json()["name"], "two");
    let reply = toolbox.send("POST", "/files/upload-v2?path=d/three", &[], b"333");
    let path = toolbox.home().join("d/three");
    assert_eq!(reply.json()["path"], path.to_str().unwrap());
    for (name, content) in [("one", "1"), ("two", "22"), ("d/three", "333")] {
        assert_eq!(
            fs::read_to_string(toolbox.home().join(name)).unwrap(),
            content
        );
    }
    assert_eq!(
        send_form(&toolbox, "/files/upload?path=x", &[("other", None, b"")]).status,
        400
    );
}

#[test]
fn an_upload_that_breaks_off_leaves_nothing() {
    let toolbox = Toolbox::start();
    let mut stream = toolbox.connect();
    write!(
        stream,
        "POST /files/upload-v2?path=half HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\nbegin"
    )
    .unwrap();
    drop(stream);
    // The toolbox goes on, and nothing of that name or a temporary one ever appears.
    assert_eq!(toolbox.execute("ls -A").1, "");
}

#[test]
fn downloads_give_all_or_the_range_asked_for() {
    let toolbox = Toolbox::start();
    let content: Vec<u8> = (0..1_000_000_u32).map(|i| i.to_le_bytes()[0]).collect();
    fs::write(toolbox.home().join("data ü.bin"), &content).unwrap();
    let target = "/files/download?path=data+%C3%BC.bin";
    let reply = toolbox.get(target);
    assert_eq!(reply.body, content);
    assert_eq!(reply.header("content-length"), Some("1000000"));
    assert_eq!(
        reply.header("content-type"),
        Some("application/octet-stream")
    );
    let disposition = reply.header("content-disposition").unwrap();
    assert!(
        disposition.contains("filename*=UTF-8''data%20%C3%BC%2Ebin"),
        "{disposition}"
    );
    let reply = toolbox.send("GET", target, &[("Range", "bytes=500000-500009")], b"");
    assert_eq!(reply.status, 206);
    assert_eq!(reply.body, &content[500_000..500_010]);
    assert_eq!(
        reply.header("content-range"),
        Some("bytes 500000-500009/1000000")
    );
    let reply = toolbox.send("GET", target, &[("Range", "bytes=1000000-")], b"");
    assert_eq!(reply.status, 416);
    failure(
        &toolbox.get("/files/download?path=."),
        400,
        "INVALID_FILE_PATH",
    );
    failure(
        &toolbox.get("/files/download?path=none"),
        404,
        "FILE_NOT_FOUND",
    );
    failure(
        &toolbox.get("/files/download?path=/etc/shadow"),
        403,
        "FILE_ACCESS_DENIED",
    );
    assert!(
        !toolbox
            .get("/files/download?path=/proc/self/status")
            .body
            .is_empty()
    );
    toolbox.execute("mkfifo pipe");
    failure(
        &toolbox.get("/files/download?path=pipe"),
        400,
        "INVALID_FILE_PATH",
    );
}

#[test]
fn a_bulk_download_has_a_part_for_every_path_in_order() {
    let toolbox = Toolbox::start();
    let big = vec![7_u8; 700_000];
    fs::write(toolbox.home().join("big"), &big).unwrap();
    fs::write(toolbox.home().join("ü \"q\""), b"named").unwrap();
    fs::write(toolbox.home().join("empty"), b"").unwrap();
    let paths = ["big", "missing", "ü \"q\"", "empty", "."];
    let reply = toolbox.post("/files/bulk-download", &json!({"paths": paths}));
    assert_eq!(reply.status, 200);
    let parts = parts(&reply);
    let asked: Vec<&str> = parts.iter().map(|(_, path, _)| path.as_str()).collect();
    assert_eq!(asked, paths);
    let kinds: Vec<&str> = parts.iter().map(|(name, ..)| name.as_str()).collect();
    assert_eq!(kinds, ["file", "error", "file", "file", "error"]);
    assert_eq!(parts[0].2, big);
    assert_eq!(parts[2].2, b"named");
    assert_eq!(parts[3].2, b"");
    let error: Value = serde_json::from_slice(&parts[1].2).unwrap();
    assert_eq!(
        (error["statusCode"].as_u64(), error["code"].as_str()),
        (Some(404), Some("FILE_NOT_FOUND"))
    );
    assert_eq!(
        toolbox
            .post("/files/bulk-download", &json!({"paths": []}))
            .status,
        400
    );
    assert_eq!(toolbox.post("/files/bulk-download", &json!({})).status, 400);
}

#[test]
fn folders_are_made_with_their_parents_and_mode() {
    let toolbox = Toolbox::start();
    let make = |query: &str| {
        toolbox
            .post(&format!("/files/folder?{query}"), &Value::Null)
            .status
    };
    assert_eq!(make("path=a/b/c&mode=0700"), 201);
    assert_eq!(make("path=a/b/c&mode=755"), 201);
    let mode = fs::metadata(toolbox.home().join("a/b/c")).unwrap().mode();
    assert_eq!(mode & 0o777, 0o700);
    assert_eq!(make("path=d"), 201);
    assert_eq!(make("path=e&mode=rwx"), 400);
    assert_eq!(make("mode=755"), 400);
    assert_eq!(make("path=/etc/f&mode=755"), 403);
}

#[test]
fn deleting_a_directory_must_be_meant() {
    let toolbox = Toolbox::start();
    let home = toolbox.home();
    toolbox.execute("mkdir -p dir/sub; echo x > dir/sub/file; ln -s dir link");
    assert_eq!(toolbox.delete("/files?path=dir").status, 400);
    assert_eq!(toolbox.delete("/files?path=link").status, 204);
    assert!(home.join("dir/sub/file").exists());
    assert_eq!(toolbox.delete("/files?path=dir&recursive=true").status, 204);
    assert!(!home.join("dir").exists());
    failure(&toolbox.delete("/files?path=dir"), 404, "FILE_NOT_FOUND");
    failure(
        &toolbox.delete("/files?path=/etc/passwd"),
        403,
        "FILE_ACCESS_DENIED",
    );
}

#[test]
fn moving_never_replaces_anything() {
    let toolbox = Toolbox::start();
    toolbox.execute("echo a > a; echo b > b; mkdir dir; echo c > dir/c");
    let rename = |from: &str, to: &str| {
        toolbox
            .post(
                &format!("/files/move?source={from}&destination={to}"),
                &Value::Null,
            )
            .status
    };
    assert_eq!(rename("a", "b"), 409);
    assert_eq!(rename("missing", "x"), 404);
    assert_eq!(rename("a", "no/such/place"), 404);
    assert_eq!(rename("dir", "moved"), 200);
    assert_eq!(rename("a", "moved/a"), 200);
    assert_eq!(toolbox.execute("cat b moved/a moved/c").1, "b\na\nc\n");
    // To another file system.
    let elsewhere = format!("/dev/shm/{}", toolbox.sudo_socket());
    assert_eq!(rename("moved", &elsewhere), 200);
    assert_eq!(
        toolbox
            .execute(&format!("cat {elsewhere}/c; rm -r {elsewhere}; ls"))
            .1,
        "c\nb\n"
    );
}

#[test]
fn permissions_take_names_and_numbers_and_ask_the_kernel() {
    let toolbox = Toolbox::start();
    toolbox.execute("echo x > file");
    let set = |query: &str| {
        toolbox
            .post(&format!("/files/permissions?{query}"), &Value::Null)
            .status
    };
    assert_eq!(set("path=file&mode=600&owner=nobody&group=65534"), 200);
    assert_eq!(
        fs::metadata(toolbox.home().join("file")).unwrap().mode() & 0o7777,
        0o600
    );
    assert_eq!(set("path=file&owner=root"), 403);
    assert_eq!(set("path=file&owner=no-such-user"), 400);
    assert_eq!(set("path=missing&mode=600"), 404);
    assert_eq!(set("path=/etc/passwd&mode=600"), 403);
}

#[test]
fn search_matches_base_names_and_joins_them_with_the_root_as_given() {
    let toolbox = Toolbox::start();
    toolbox.execute("mkdir -p src/sub.rs; touch src/a.rs src/.hidden.rs src/sub.rs/b.txt src/c.py");
    let search = |query: &str| toolbox.get(&format!("/files/search?{query}")).json();
    assert_eq!(
        search("path=src&pattern=*.rs"),
        json!({"files": ["src/.hidden.rs", "src/a.rs", "src/sub.rs"]})
    );
    let absolute = toolbox.home().join("src");
    let found = search(&format!("path={}&pattern=[ab].*", absolute.display()));
    assert_eq!(found["files"][0], absolute.join("a.rs").to_str().unwrap());
    assert_eq!(
        found["files"][1],
        absolute.join("sub.rs/b.txt").to_str().unwrap()
    );
    assert_eq!(search("path=.&pattern=nothing*"), json!({"files": []}));
    assert_eq!(toolbox.get("/files/search?path=.&pattern=[").status, 400);
    assert_eq!(
        toolbox.get("/files/search?path=missing&pattern=x").status,
        404
    );
}

#[test]
fn find_gives_lines_and_skips_binaries_and_knows_no_patterns() {
    let toolbox = Toolbox::start();
    let home = toolbox.home();
    fs::create_dir(home.join("t")).unwrap();
    fs::write(home.join("t/a"), "one\na.c(x)\r\nlast a.c(x)").unwrap();
    fs::write(home.join("t/b"), "abc(x)\n").unwrap();
    fs::write(home.join("t/binary"), b"\0a.c(x)\n").unwrap();
    fs::write(
        home.join("t/long"),
        format!("{} a.c(x)\n", "y".repeat(200_000)),
    )
    .unwrap();
    fs::write(home.join("t/.gitignore"), "a\n").unwrap();
    let found = toolbox.get("/files/find?path=t&pattern=a.c(x)").json();
    let matches = found.as_array().unwrap();
    let at = |i: usize| {
        (
            matches[i]["file"].as_str().unwrap(),
            matches[i]["line"].as_u64().unwrap(),
        )
    };
    let path = home.join("t/a");
    assert_eq!(at(0), (path.to_str().unwrap(), 2));
    assert_eq!(matches[0]["content"], "a.c(x)");
    assert_eq!(at(1).1, 3);
    assert_eq!(matches[2]["file"], home.join("t/long").to_str().unwrap());
    assert_eq!(matches.len(), 3);
    assert_eq!(
        toolbox.get("/files/find?path=t/a&pattern=one").json()[0]["line"],
        1
    );
    assert_eq!(
        toolbox.get("/files/find?path=t&pattern=absent").json(),
        json!([])
    );
}

#[test]
fn replace_answers_for_each_file() {
    let toolbox = Toolbox::start();
    toolbox.execute("printf 'x1x' > a; printf 'nothing' > b; chmod 755 a; ln a a2");
    let request = json!({"files": ["a", "b", "missing"], "pattern": "x", "newValue": "yy"});
    let answers = toolbox.post("/files/replace", &request).json();
    assert_eq!(answers[0], json!({"file": "a", "success": true}));
    assert_eq!(answers[1]["success"], true);
    assert_eq!(answers[2]["success"], false);
    assert!(answers[2]["error"].as_str().unwrap().contains("missing"));
    assert_eq!(
        toolbox.execute("cat a a2; stat -c %a a").1,
        "yy1yyyy1yy755\n"
    );
    let request = json!({"files": ["a"], "pattern": "yy", "newValue": ""});
    assert_eq!(toolbox.post("/files/replace", &request).status, 200);
    assert_eq!(toolbox.execute("cat a").1, "1");
    assert_eq!(
        toolbox
            .post(
                "/files/replace",
                &json!({"files": [], "pattern": "", "newValue": ""})
            )
            .status,
        400
    );
}

#[test]
fn old_go_clients_get_no_field_they_do_not_know() {
    let toolbox = Toolbox::start();
    toolbox.send("POST", "/files/upload-v2?path=f", &[], b"12345");
    let known = [
        "group",
        "isDir",
        "modTime",
        "mode",
        "name",
        "owner",
        "permissions",
        "size",
    ];
    for (source, version) in [("go-sdk", "v0.148.0"), ("sdk-go", "v0.173.0")] {
        let headers = [
            ("X-Daytona-Source", source),
            ("X-Daytona-SDK-Version", version),
        ];
        let info = toolbox
            .send("GET", "/files/info?path=f", &headers, b"")
            .json();
        let listing = toolbox.send("GET", "/files", &headers, b"").json();
        for shown in [&info, &listing[0]] {
            let mut keys: Vec<&str> = shown
                .as_object()
                .unwrap()
                .keys()
                .map(String::as_str)
                .collect();
            keys.sort_unstable();
            assert_eq!(keys, known, "{source} {version}");
        }
    }
}
