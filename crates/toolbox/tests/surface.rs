//! Everything that is neither commands nor files: facts, routes, ports, proxies, `sudo`.

#![allow(clippy::unwrap_used, reason = "test code")]

mod common;

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicU16, Ordering};

use common::{Toolbox, alive, eventually};
use serde_json::{Value, json};

#[test]
fn facts_are_told_as_clients_expect_them() {
    let toolbox = Toolbox::start();
    assert!(
        toolbox.get("/version").json()["version"]
            .as_str()
            .unwrap()
            .starts_with('v')
    );
    assert_eq!(
        toolbox.get("/work-dir").json()["dir"],
        toolbox.home().to_str().unwrap()
    );
    assert_eq!(toolbox.get("/user-home-dir").json()["dir"], "/nonexistent");
    assert_eq!(toolbox.get("/project-dir").json()["dir"], "/nonexistent");
    assert_eq!(toolbox.post("/init", &Value::Null).status, 200);
    let metrics = toolbox.get("/system/metrics").json();
    for name in [
        "memUsed",
        "memCache",
        "diskUsed",
        "diskFree",
        "timestampUnix",
    ] {
        assert!(metrics[name].is_u64(), "{name}: {metrics}");
    }
    assert_eq!(
        (metrics["cpuCount"].as_u64(), metrics["memTotal"].as_u64()),
        (Some(2), Some(1 << 30))
    );
    assert!((0.0..=100.0).contains(&metrics["cpuUsedPct"].as_f64().unwrap()));
}

#[test]
fn a_changed_environment_is_seen_by_later_commands() {
    let toolbox = Toolbox::start();
    // One published client sends this body without a content type.
    let body = br#"{"set":{"A":"1","B":"secret-x"},"unset":["GREETING"]}"#;
    let reply = toolbox.send("POST", "/env", &[], body);
    assert_eq!(reply.json()["A"], "1");
    let reply = toolbox.post("/env", &json!({"unsetValuePrefix": "secret"}));
    assert_eq!(reply.json().get("B"), None);
    assert_eq!(toolbox.execute("echo $A-$B-$GREETING").1, "1--\n");
    assert_eq!(
        toolbox.post("/env", &json!({"set": {"1A": "x"}})).status,
        400
    );
}

#[test]
fn routes_that_do_not_exist_say_so_in_json() {
    let toolbox = Toolbox::start();
    assert_eq!(toolbox.get("/nonsense").json()["statusCode"], 404);
    let reply = toolbox.delete("/version");
    assert_eq!(reply.json()["statusCode"], 405);
    let reply = toolbox.get("/version/");
    assert_eq!(
        (reply.status, reply.header("location")),
        (301, Some("/version"))
    );
    let reply = toolbox.post("/files/folder/?path=a&mode=755", &Value::Null);
    let target = Some("/files/folder?path=a&mode=755");
    assert_eq!((reply.status, reply.header("location")), (307, target));
}

/// A listener in the window that `/port` shows, at a port that no other test here is given.
fn listen_in_window() -> (TcpListener, u16) {
    static NEXT: AtomicU16 = AtomicU16::new(3000);
    std::iter::repeat_with(|| NEXT.fetch_add(1, Ordering::Relaxed))
        .take_while(|port| *port < 10_000)
        .find_map(|port| {
            TcpListener::bind(("0.0.0.0", port))
                .ok()
                .map(|it| (it, port))
        })
        .unwrap()
}

#[test]
fn ports_are_those_somebody_listens_on() {
    let toolbox = Toolbox::start();
    let (listener, port) = listen_in_window();
    let ports = toolbox.get("/port").json()["ports"].clone();
    assert!(ports.as_array().unwrap().contains(&json!(port)));
    let in_use = |port: &str| toolbox.get(&format!("/port/{port}/in-use"));
    assert_eq!(in_use(&port.to_string()).json(), json!({"isInUse": true}));
    drop(listener);
    assert_eq!(in_use(&port.to_string()).json(), json!({"isInUse": false}));
    for bad in ["80", "10000", "x"] {
        assert_eq!(in_use(bad).status, 400, "{bad}");
    }
}

#[test]
fn a_listener_is_listed_with_its_address_and_process() {
    let toolbox = Toolbox::start();
    let code = "import socket, os, time; s = socket.socket(socket.AF_INET6); s.bind(('::1', 0)); \
                s.listen(); print(s.getsockname()[1], os.getpid(), flush=True); time.sleep(1000)";
    let listen =
        format!("python3 -c \"{code}\" > said & while ! [ -s said ]; do :; done; cat said");
    let (_, said) = toolbox.execute(&listen);
    let (port, pid) = said.trim().split_once(' ').unwrap();
    let own = TcpListener::bind("127.0.0.1:0").unwrap();
    let own_port = own.local_addr().unwrap().port();
    let all = toolbox.get("/port").json()["listeners"].clone();
    let listed = |port: u16| {
        let mut all = all.as_array().unwrap().iter();
        all.find(|each| each["port"] == port).unwrap()
    };
    let python = listed(port.parse().unwrap());
    assert_eq!(
        (&python["address"], python["pid"].to_string()),
        (&json!("::1"), pid.to_owned())
    );
    assert!(python["process"].as_str().unwrap().starts_with("python"));
    let own = listed(own_port);
    assert_eq!(
        (&own["address"], &own["pid"]),
        (&json!("127.0.0.1"), &json!(std::process::id()))
    );
}

#[test]
fn a_port_can_be_waited_for() {
    let toolbox = Toolbox::start();
    let (listener, port) = listen_in_window();
    let wait = |seconds: &str| toolbox.get(&format!("/sebring/port/{port}/wait?timeout={seconds}"));
    assert_eq!(wait("1").json(), json!({"isInUse": true}));
    drop(listener);
    let late = wait("1");
    assert_eq!(
        (late.status, &late.json()["code"]),
        (408, &json!("REQUEST_TIMEOUT"))
    );
    for bad in ["0", "601", "x"] {
        assert_eq!(wait(bad).status, 400, "{bad}");
    }
    std::thread::scope(|scope| {
        let waits = scope.spawn(|| wait("30"));
        let _listener = TcpListener::bind(("0.0.0.0", port)).unwrap();
        assert_eq!(waits.join().unwrap().status, 200);
    });
}

/// Answers one connection with what it was sent.
fn echo_http() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut head = Vec::new();
        let mut byte = [0];
        while !head.ends_with(b"\r\n\r\n") {
            stream.read_exact(&mut byte).unwrap();
            head.push(byte[0]);
        }
        if String::from_utf8_lossy(&head)
            .to_lowercase()
            .contains("upgrade: echo")
        {
            stream
                .write_all(b"HTTP/1.1 101 Switching\r\nConnection: Upgrade\r\nUpgrade: echo\r\nSec-WebSocket-Protocol: p\r\n\r\n")
                .unwrap();
            let mut word = [0; 4];
            stream.read_exact(&mut word).unwrap();
            stream.write_all(&word).unwrap();
        } else {
            write!(
                stream,
                "HTTP/1.1 418 Teapot\r\nContent-Length: {}\r\n\r\n",
                head.len()
            )
            .unwrap();
            stream.write_all(&head).unwrap();
        }
    });
    port
}

#[test]
fn the_proxy_passes_requests_on_as_they_were_sent() {
    let toolbox = Toolbox::start();
    let port = echo_http();
    let reply = toolbox.get(&format!("/proxy/{port}/a%2Fb/c?q=1+2%20"));
    assert_eq!(reply.status, 418);
    assert!(
        reply
            .text()
            .starts_with("GET /a%2Fb/c?q=1+2%20 HTTP/1.1\r\n"),
        "{}",
        reply.text()
    );
}

fn read_head(stream: &mut UnixStream) -> String {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    String::from_utf8(head).unwrap()
}

#[test]
fn upgraded_connections_carry_bytes_both_ways() {
    let toolbox = Toolbox::start();
    let port = echo_http();
    let mut stream = toolbox.connect();
    write!(
        stream,
        "GET /proxy/{port}/ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n"
    )
    .unwrap();
    let head = read_head(&mut stream).to_lowercase();
    assert!(head.starts_with("http/1.1 101"), "{head}");
    assert!(head.contains("sec-websocket-protocol: p"), "{head}");
    stream.write_all(b"ping").unwrap();
    let mut word = [0; 4];
    stream.read_exact(&mut word).unwrap();
    assert_eq!(&word, b"ping");
}

#[test]
fn a_raw_stream_reaches_a_port() {
    let toolbox = Toolbox::start();
    let port = echo_http();
    let mut stream = toolbox.connect();
    write!(
        stream,
        "POST /_sebring/tcp/{port} HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: sebring-tcp\r\n\r\n"
    )
    .unwrap();
    assert!(read_head(&mut stream).starts_with("HTTP/1.1 101"));
    stream.write_all(b"GET /raw HTTP/1.1\r\n\r\n").unwrap();
    let mut reply = String::new();
    stream.read_to_string(&mut reply).unwrap();
    assert!(reply.ends_with("GET /raw HTTP/1.1\r\n\r\n"), "{reply}");
}

#[test]
fn a_port_nobody_listens_on_is_a_bad_gateway_that_lists_the_others() {
    let toolbox = Toolbox::start();
    let (_other, other) = listen_in_window();
    let closed = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let headers = [("Connection", "upgrade"), ("Upgrade", "sebring-tcp")];
    for reply in [
        toolbox.get(&format!("/proxy/{closed}/")),
        toolbox.send("POST", &format!("/_sebring/tcp/{closed}"), &headers, b""),
    ] {
        assert_eq!(reply.status, 502);
        let body = reply.json();
        assert_eq!(body["code"], "PORT_NOT_LISTENING");
        assert!(
            body["listeningPorts"]
                .as_array()
                .unwrap()
                .contains(&json!(other)),
            "{body}"
        );
    }
    assert_eq!(toolbox.get("/proxy/0/").status, 400);
    assert_eq!(toolbox.get("/proxy/x/").status, 400);
}

/// A toolbox whose home has the executable as `sudo`.
fn with_sudo() -> Toolbox {
    let toolbox = Toolbox::start();
    let executable = toolbox.directory.join("toolbox");
    std::fs::copy(env!("CARGO_BIN_EXE_toolbox"), &executable).unwrap();
    symlink(&executable, toolbox.home().join("sudo")).unwrap();
    let name = toolbox.sudo_socket().to_owned();
    let path = format!("{}:/usr/bin:/bin", toolbox.home().display());
    toolbox.post(
        "/env",
        &json!({"set": {"SEBRING_SUDO_SOCKET": name, "PATH": path}}),
    );
    toolbox
}

#[test]
fn sudo_runs_as_root_and_ends_as_the_command_ends() {
    let toolbox = with_sudo();
    let (code, output) =
        toolbox.execute("id -u; sudo id -u; echo in | sudo -n cat; sudo sh -c 'exit 7'");
    assert_eq!((code, output.as_str()), (7, "65534\n0\nin\n"));
    let (_, output) =
        toolbox.execute("cd /usr; sudo A='b c' sh -c 'echo $A $HOME $SUDO_USER $USER; pwd'");
    assert_eq!(output, "b c /root nobody root\n/usr\n");
    let (_, output) =
        toolbox.execute("export KEPT=1 LOST=2; sudo --preserve-env=KEPT sh -c 'echo $KEPT-$LOST'");
    assert_eq!(output, "1-\n");
    let (_, output) = toolbox.execute("export A=1; sudo -E sh -c 'echo $A'; sudo -u nobody id -un");
    assert_eq!(output, "1\nnobody\n");
    let (_, output) = toolbox.execute("sudo -s echo 'two  words;'; sudo -i pwd");
    assert_eq!(output, "two  words;\n/root\n");
    assert_eq!(toolbox.execute("sudo -v; sudo -k").0, 0);
    let (code, output) = toolbox.execute("sudo no-such-command");
    assert_eq!(
        (code, output.as_str()),
        (1, "sudo: no-such-command: command not found\n")
    );
    assert_eq!(toolbox.execute("sudo sh -c 'kill -9 $$'").0, 137);
}

#[test]
fn sudo_passes_signals_on() {
    let toolbox = with_sudo();
    let command = "sudo sh -c 'trap \"echo asked; exit 3\" TERM; echo > ready; while :; do sleep 0.02; done' & \
        while [ ! -e ready ]; do sleep 0.02; done; kill -TERM $!; wait $!";
    assert_eq!(toolbox.execute(command), (3, "asked\n".into()));
}

#[test]
fn what_sudo_runs_ends_with_the_process_tree_that_asked() {
    let toolbox = with_sudo();
    let command = "sudo sh -c 'echo $$ > pid; exec sleep 1000'";
    let reply = toolbox.post(
        "/process/execute",
        &json!({"command": command, "timeout": 1}),
    );
    assert_eq!(reply.status, 408);
    let pid = std::fs::read_to_string(toolbox.home().join("pid")).unwrap();
    eventually("the command is gone", || !alive(&pid));
}

#[test]
fn sudo_serves_nobody_but_the_sandboxs_user() {
    let toolbox = with_sudo();
    let command = format!(
        "sudo -u daemon env SEBRING_SUDO_SOCKET={} {}/sudo id -u",
        toolbox.sudo_socket(),
        toolbox.home().display()
    );
    let (code, output) = toolbox.execute(&command);
    assert_eq!(code, 1, "{output}");
    assert!(output.contains("may not run sudo"), "{output}");
}

#[test]
fn sudo_in_a_terminal_gives_the_command_a_terminal() {
    let toolbox = with_sudo();
    // `script` makes a terminal for it.
    let command = "SHELL=/bin/sh script -qec 'sudo sh -c \"test -t 0 && stty size > /dev/null && echo > /dev/tty && echo terminal; exit 4\"' /dev/null < /dev/null";
    let (code, output) = toolbox.execute(command);
    assert_eq!(code, 4, "{output}");
    assert!(output.contains("terminal"), "{output}");
}
