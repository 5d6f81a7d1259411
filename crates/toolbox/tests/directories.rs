//! Directories as tar against the real executable, and the system's own `tar`.

#![allow(clippy::unwrap_used, reason = "test code")]

mod common;

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::MetadataExt as _;

use common::{Reply, Toolbox, eventually};
use serde_json::Value;

/// What `tar` makes of a shell's work in an empty directory.
fn packed(toolbox: &Toolbox, work: &str) -> Vec<u8> {
    let script = format!(
        "mkdir making && cd making && {{ {work}; }} && tar -cf ../made.tar . && rm -r ../making"
    );
    let (code, said) = toolbox.execute(&script);
    assert_eq!(code, 0, "{said}");
    fs::read(toolbox.home().join("made.tar")).unwrap()
}

fn put(toolbox: &Toolbox, directory: &str, archive: &[u8]) -> Reply {
    let target = format!("/sebring/files/tar?path={directory}");
    toolbox.send(
        "PUT",
        &target,
        &[("Content-Type", "application/x-tar")],
        archive,
    )
}

fn unpacked(reply: &Reply) -> Value {
    assert_eq!(reply.status, 200, "{}", reply.text());
    reply.json()
}

fn refused(reply: &Reply, status: u16, text: &str) {
    let body = reply.json();
    assert_eq!(reply.status, status, "{body}");
    let message = body["message"].as_str().unwrap();
    assert!(message.contains(text), "{message}");
}

/// A tree with one of everything that has content.
const TREE: &str = "mkdir -p full/deep empty; printf one > full/one; printf two > 'full/deep/t w ü';\
    chmod 750 full/one; ln -s one full/link; ln -s /no/where full/dangling; chmod 555 empty;\
    touch -d @1000000000 full/deep/*; head -c 3000000 /dev/zero > big; printf '' > nothing;\
    n=$(printf 'n%.0s' $(seq 200)); printf long > $n; mkdir -p $n.d/$n.d; printf l > $n.d/$n.d/$n";
/// Names, modes, targets of links, sizes and dates of files.
const SHOW: &str = "find . -mindepth 1 -type d -printf '%P %m\\n' -o -type l -printf '%P %l\\n' \
    -o -printf '%P %m %s %Ts\\n' | sort";

#[test]
fn a_tree_comes_back_as_it_was() {
    let toolbox = Toolbox::start();
    let (code, said) = toolbox.execute(&format!("mkdir a && cd a && {TREE}"));
    assert_eq!(code, 0, "{said}");
    let packed = toolbox.get("/sebring/files/tar?path=a");
    assert_eq!(packed.header("content-type"), Some("application/x-tar"));
    let answer = unpacked(&put(&toolbox, "b/c", &packed.body));
    assert_eq!((&answer["files"], &answer["links"]), (&6.into(), &2.into()));
    assert_eq!(answer["bytes"], 3_000_000 + 3 + 3 + 4 + 1);
    let shown = |directory: &str| toolbox.execute(&format!("cd {directory} && {SHOW}")).1;
    assert_eq!(shown("b/c"), shown("a"));
    assert_eq!(toolbox.execute("diff -r --no-dereference a b/c").1, "");
}

#[test]
fn the_systems_tar_reads_what_is_sent_and_is_read() {
    let toolbox = Toolbox::start();
    for format in ["gnu", "pax", "ustar"] {
        let work = format!(
            "mkdir -p in/{format}/d; printf x > in/{format}/d/file; printf x > 'in/{format}/ü x'"
        );
        assert_eq!(toolbox.execute(&work).0, 0);
        let script = format!("tar --format={format} -C in/{format} -cf {format}.tar .");
        assert_eq!(toolbox.execute(&script).0, 0);
        let archive = fs::read(toolbox.home().join(format!("{format}.tar"))).unwrap();
        assert_eq!(
            unpacked(&put(&toolbox, &format!("out/{format}"), &archive))["files"],
            2
        );
    }
    assert_eq!(toolbox.execute("diff -r in out").1, "");
    let sent = toolbox.get("/sebring/files/tar?path=in").body;
    fs::write(toolbox.home().join("sent.tar"), sent).unwrap();
    let script = "mkdir again && tar -C again -xf sent.tar && diff -r in again";
    assert_eq!(toolbox.execute(script), (0, String::new()));
}

#[test]
fn a_file_that_exists_is_replaced_in_one_step_and_others_stay() {
    let toolbox = Toolbox::start();
    toolbox.execute("mkdir d; printf old > d/file; ln d/file kept; printf other > d/other");
    let archive = packed(&toolbox, "printf new > file; ln file twin");
    unpacked(&put(&toolbox, "d", &archive));
    unpacked(&put(&toolbox, "d", &archive));
    let read = |name: &str| fs::read_to_string(toolbox.home().join(name)).unwrap();
    assert_eq!(
        [read("d/file"), read("kept"), read("d/other")],
        ["new", "old", "other"]
    );
    let links = fs::metadata(toolbox.home().join("d/twin")).unwrap().nlink();
    assert_eq!((read("d/twin").as_str(), links), ("new", 2));
    assert_eq!(toolbox.execute("ls -A d").1, "file\nother\ntwin\n");
}

/// One entry with a name that `tar` would not write.
fn entry(name: &str, kind: u8, target: &str, content: &[u8]) -> Vec<u8> {
    let mut head = [0_u8; 512];
    head[..name.len()].copy_from_slice(name.as_bytes());
    head[100..108].copy_from_slice(b"0000644\0");
    head[124..136].copy_from_slice(format!("{:011o}\0", content.len()).as_bytes());
    head[136..148].copy_from_slice(b"00000000000\0");
    head[148..156].copy_from_slice(b"        ");
    head[156] = kind;
    head[157..157 + target.len()].copy_from_slice(target.as_bytes());
    head[257..265].copy_from_slice(b"ustar\x0000");
    let sum: u32 = head.iter().map(|byte| u32::from(*byte)).sum();
    head[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    let mut bytes = head.to_vec();
    bytes.write_all(content).unwrap();
    bytes.resize(bytes.len().next_multiple_of(512), 0);
    bytes
}

#[test]
fn nothing_leaves_the_directory() {
    let toolbox = Toolbox::start();
    assert_eq!(toolbox.execute("mkdir d outside").0, 0);
    let outside = toolbox.home().join("outside").display().to_string();
    let file = |name: &str| entry(name, b'0', "", b"x");
    for archive in [
        file("../outside/file"),
        file("a/../../outside/file"),
        [entry("way", b'2', "../outside", b""), file("way/file")].concat(),
        [entry("way", b'2', &outside, b""), file("way/file")].concat(),
        entry("link", b'1', "../outside/other", b""),
    ] {
        refused(
            &put(&toolbox, "d", &archive),
            400,
            "leads out of the directory",
        );
    }
    // An absolute name is one below.
    unpacked(&put(&toolbox, "d", &file("/etc/file")));
    assert!(toolbox.home().join("d/etc/file").exists());
    // A link to somewhere else is replaced by a file of its name, not followed.
    let replaced = [entry("link", b'2', "../outside/file", b""), file("link")].concat();
    unpacked(&put(&toolbox, "d", &replaced));
    assert_eq!(toolbox.execute("ls -A outside").1, "");
}

#[test]
fn a_link_that_stays_below_is_followed() {
    let toolbox = Toolbox::start();
    let archive = [
        entry("real/", b'5', "", b""),
        entry("way", b'2', "real", b""),
        entry("way/file", b'0', "", b"x"),
    ];
    unpacked(&put(&toolbox, "d", &archive.concat()));
    assert!(toolbox.home().join("d/real/file").exists());
}

#[test]
fn what_is_no_whole_archive_is_refused_and_nothing_half_remains() {
    let toolbox = Toolbox::start();
    refused(&put(&toolbox, "d", b""), 400, "no tar archive");
    refused(&put(&toolbox, "d", &[b'x'; 2048]), 400, "request body");
    let whole = entry("file", b'0', "", &[b'x'; 100_000]);
    let reply = put(&toolbox, "d", &whole[..50_000]);
    assert_eq!(reply.status, 400, "{}", reply.text());
    assert_eq!(toolbox.execute("ls -A d").1, "");
    refused(&put(&toolbox, "d", &entry("x", b'S', "", b"")), 400, "type");
}

#[test]
fn a_client_that_leaves_midway_leaves_nothing_half() {
    let toolbox = Toolbox::start();
    let mut stream = toolbox.connect();
    let head =
        "PUT /sebring/files/tar?path=d HTTP/1.1\r\nHost: x\r\nContent-Length: 200000\r\n\r\n";
    stream.write_all(head.as_bytes()).unwrap();
    let archive = [
        entry("one", b'0', "", b"x"),
        entry("two", b'0', "", &[0; 190_000]),
    ]
    .concat();
    stream.write_all(&archive[..100_000]).unwrap();
    let listed = || toolbox.execute("ls -A d").1;
    eventually("the second file is begun", || listed().lines().count() == 2);
    drop(stream);
    eventually("only the first is left", || listed() == "one\n");
}

#[test]
fn what_is_no_directory_is_not_packed_and_what_is_no_content_left_out() {
    let toolbox = Toolbox::start();
    toolbox.execute("mkdir d; mkfifo d/pipe; printf x > d/file; printf x > plain");
    refused(
        &toolbox.get("/sebring/files/tar?path=plain"),
        400,
        "not a directory",
    );
    refused(&toolbox.get("/sebring/files/tar?path=none"), 404, "none");
    refused(&toolbox.get("/sebring/files/tar?path=/root"), 403, "/root");
    let packed = toolbox.get("/sebring/files/tar?path=d");
    assert_eq!(unpacked(&put(&toolbox, "e", &packed.body))["files"], 1);
}

#[test]
fn files_belong_to_the_sandboxs_user() {
    let toolbox = Toolbox::start();
    unpacked(&put(&toolbox, "d", &entry("a/file", b'0', "", b"x")));
    let owner = |name: &str| fs::metadata(toolbox.home().join(name)).unwrap().uid();
    assert_eq!(owner("d/a/file"), owner("."));
    refused(
        &put(&toolbox, "/etc/d", &entry("file", b'0', "", b"x")),
        403,
        "/etc/d",
    );
}
