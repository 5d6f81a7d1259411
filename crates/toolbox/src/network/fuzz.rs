//! Targets: the kernel's tables of sockets, and paths below `/proxy`.

use http::Uri;

use super::listeners::{inode, parse};
use super::proxy::target;

/// Every listener is a line of its own.
pub fn proc_net(input: &[u8]) {
    let table = String::from_utf8_lossy(input);
    assert!(parse(&table).len() < table.lines().count().max(1));
    for line in table.lines() {
        if let Some(number) = inode(line) {
            assert!(
                line.contains(&number.to_string()) || line.contains("[0") || line.contains('+')
            );
        }
    }
}

/// What is passed on is the rest of the path, byte for byte.
pub fn proxy_path(input: &[u8]) {
    let Ok(uri) = Uri::try_from(input) else {
        return;
    };
    let Some(found) = target(&uri, "3000") else {
        return;
    };
    let (asked, found) = (uri.to_string(), found.to_string());
    assert!(found.starts_with('/'), "{found}");
    assert!(
        asked.ends_with(&found) || found == "/" || asked.ends_with(&found[1..]),
        "{asked} {found}"
    );
}
