//! From a root downwards, a level at a time, within a budget.

use std::collections::HashSet;

use futures_util::StreamExt as _;
use serde::Serialize;
use tokio::time::Instant;

use super::bus::{Bus, Node, Reference};

/// Nodes of one answer.
const NODES_MAX: usize = 20_000;
/// Deeper trees than this no toolkit draws, and no parser of clients reads.
const DEPTH_MAX: usize = 100;
/// Nodes that are asked at the same time.
const AT_ONCE: usize = 16;

/// A node with all that was seen below it.
#[derive(Debug, Serialize)]
pub(crate) struct Tree {
    #[serde(flatten)]
    pub(super) node: Node,
    children: Vec<Self>,
}

/// A node, and which one it hangs from.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) node: Node,
    parent: Option<usize>,
}

/// What a walk found, parents before their children.
#[derive(Debug)]
pub(super) struct Walk {
    pub(super) seen: Vec<Seen>,
    pub(super) truncated: bool,
}

/// Everything below `root`, down to `depth` when one is given.
pub(super) async fn walk(bus: &Bus, root: Reference, depth: Option<usize>, end: Instant) -> Walk {
    let deepest = depth.map_or(DEPTH_MAX, |depth| depth.min(DEPTH_MAX));
    let mut found = Walk {
        seen: Vec::new(),
        truncated: false,
    };
    // Programs can hang a node below itself.
    let mut known = HashSet::from([root.clone()]);
    let mut level = vec![(root, None)];
    for depth in 0..=deepest {
        let is_last = depth == deepest;
        let ask = |(node, parent): (Reference, Option<usize>)| async move {
            let (said, children) =
                tokio::join!(bus.describe(&node), async { bus.children(&node).await });
            (said, parent, children)
        };
        let mut answers = futures_util::stream::iter(std::mem::take(&mut level))
            .map(ask)
            .buffered(AT_ONCE);
        loop {
            // Dropping the stream drops questions that are under way, and nothing else.
            let Ok(answer) = tokio::time::timeout_at(end, answers.next()).await else {
                found.truncated = true;
                return found;
            };
            let Some((said, parent, children)) = answer else {
                break;
            };
            let Some(node) = said else {
                continue;
            };
            if found.seen.len() == NODES_MAX {
                found.truncated = true;
                return found;
            }
            let at = found.seen.len();
            found.seen.push(Seen { node, parent });
            let new = children
                .into_iter()
                .filter(|child| known.insert(child.clone()));
            // One more than fits tells that there are more.
            let room = NODES_MAX.saturating_sub(level.len());
            let mut new: Vec<_> = new.take(room + 1).map(|child| (child, Some(at))).collect();
            // A depth that was asked for cuts nothing off that anybody misses.
            found.truncated |= if is_last {
                depth == DEPTH_MAX && !new.is_empty()
            } else {
                new.len() > room
            };
            new.truncate(room);
            level.append(&mut new);
        }
        if is_last || level.is_empty() {
            break;
        }
    }
    found
}

impl Walk {
    /// Hangs each node below its parent. `None` when the root itself was gone.
    pub(super) fn into_tree(self) -> Option<Tree> {
        let mut below: Vec<Vec<Tree>> = self.seen.iter().map(|_| Vec::new()).collect();
        for (at, seen) in self.seen.into_iter().enumerate().rev() {
            let mut children = std::mem::take(&mut below[at]);
            // They were hung in reverse.
            children.reverse();
            let tree = Tree {
                node: seen.node,
                children,
            };
            match seen.parent {
                Some(parent) => below[parent].push(tree),
                None => return Some(tree),
            }
        }
        None
    }
}
