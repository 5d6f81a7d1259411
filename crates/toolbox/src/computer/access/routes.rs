//! `/computeruse/a11y/…`

use std::sync::Arc;

use axum::extract::State;
use futures_util::StreamExt as _;
use regex_automata::meta::Regex;
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, timeout};

use super::bus::{self, Bus, Node, Reference};
use super::walk::{Tree, walk};
use super::{Error, TIME_MAX, states};
use crate::computer::screen::windows::{self, Active};
use crate::computer::{display, kit, layout};
use crate::http::body::JsonBody;
use crate::http::error::Failure;
use crate::http::query::Query;
use crate::http::reply::Json;
use crate::toolbox::Toolbox;

const MATCHES_DEFAULT: i64 = 500;
const MATCHES_MAX: i64 = 5000;
/// Programs of a desktop whose windows are looked through.
const PROGRAMS_MAX: usize = 500;
const PROGRAMS_AT_ONCE: usize = 8;
/// Memory that a compiled expression of a client may take.
const REGEX_BYTES_MAX: usize = 1 << 20;
const PATTERN_BYTES_MAX: usize = 4 << 10;
const VALUE_BYTES_MAX: usize = 1 << 20;

#[derive(Debug, Serialize)]
pub(crate) struct TreeAnswer {
    root: Tree,
    truncated: bool,
}

#[derive(Debug, Serialize)]
pub(crate) struct FindAnswer {
    matches: Vec<Node>,
    truncated: bool,
}

#[derive(Debug, Serialize)]
pub(crate) struct Done {}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct FindRequest {
    scope: Option<String>,
    pid: Option<i64>,
    role: Option<String>,
    name: Option<String>,
    name_match: Option<String>,
    states: Option<Vec<String>>,
    limit: Option<i64>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct NodeRequest {
    id: Option<String>,
    action: Option<String>,
    value: Option<String>,
}

/// Where a walk begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scope {
    /// The window that has the keyboard.
    Focused,
    Pid(u32),
    All,
}

/// How a name must be.
#[derive(Debug)]
enum NameMatch {
    Any,
    Contains(String),
    Is(String),
    Matches(Box<Regex>),
}

pub(crate) async fn tree(
    State(toolbox): State<Arc<Toolbox>>,
    query: Query,
) -> Result<Json<TreeAnswer>, Failure> {
    let number = |name: &str| -> Result<Option<i64>, Error> {
        let parse = |text: &str| {
            text.parse()
                .map_err(|_| Error::Invalid(format!("query {name} {text:?}: a whole number")))
        };
        query.get(name).map(parse).transpose()
    };
    let scope = scope(query.get("scope"), number("pid")?)?;
    let depth = match number("maxDepth")? {
        None | Some(-1) => None,
        Some(depth) => Some(usize::try_from(depth).map_err(|_| {
            Error::Invalid(format!(
                "query maxDepth {depth}: 0 or more, or -1 for no limit"
            ))
        })?),
    };
    let end = Instant::now() + TIME_MAX;
    let bus = connect(&toolbox).await?;
    let active = active(&toolbox, scope).await?;
    let root = in_time(end, find_root(&bus, scope, active)).await?;
    let mut walked = walk(&bus, root.clone(), depth, end).await;
    let truncated = std::mem::take(&mut walked.truncated);
    let root = walked
        .into_tree()
        .ok_or_else(|| Error::NodeNotFound(root.id()))?;
    Ok(Json(TreeAnswer { root, truncated }))
}

pub(crate) async fn find(
    State(toolbox): State<Arc<Toolbox>>,
    JsonBody(request): JsonBody<FindRequest>,
) -> Result<Json<FindAnswer>, Failure> {
    let scope = scope(request.scope.as_deref(), request.pid)?;
    let name = name_match(request.name, request.name_match.as_deref())?;
    let wanted = wanted_states(request.states)?;
    let limit = match request.limit {
        None | Some(0) => MATCHES_DEFAULT,
        Some(limit) if (1..=MATCHES_MAX).contains(&limit) => limit,
        Some(limit) => {
            return Err(Error::Invalid(format!("limit {limit}: from 1 to {MATCHES_MAX}")).into());
        }
    };
    let role = request.role.filter(|role| !role.is_empty());
    let fits = |node: &Node| {
        role.as_ref()
            .is_none_or(|role| node.role.eq_ignore_ascii_case(role))
            && name.fits(&node.name)
            && wanted
                .iter()
                .all(|state| node.states.contains(&state.as_str()))
    };
    let end = Instant::now() + TIME_MAX;
    let bus = connect(&toolbox).await?;
    let active = active(&toolbox, scope).await?;
    let root = in_time(end, find_root(&bus, scope, active)).await?;
    let walked = walk(&bus, root, None, end).await;
    let mut matches: Vec<Node> = walked
        .seen
        .into_iter()
        .map(|seen| seen.node)
        .filter(fits)
        .collect();
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let truncated = walked.truncated || matches.len() > limit;
    matches.truncate(limit);
    Ok(Json(FindAnswer { matches, truncated }))
}

pub(crate) async fn focus(
    State(toolbox): State<Arc<Toolbox>>,
    JsonBody(request): JsonBody<NodeRequest>,
) -> Result<Json<Done>, Failure> {
    let node = node(request.id.as_deref())?;
    let bus = connect(&toolbox).await?;
    let focused = async {
        bus.check(&node).await?;
        bus.focus(&node).await
    };
    supported(
        in_time(deadline(), focused).await?,
        "the node cannot be focused",
    )
}

pub(crate) async fn invoke(
    State(toolbox): State<Arc<Toolbox>>,
    JsonBody(request): JsonBody<NodeRequest>,
) -> Result<Json<Done>, Failure> {
    let node = node(request.id.as_deref())?;
    let bus = connect(&toolbox).await?;
    let action = request.action.filter(|action| !action.is_empty());
    let invoked = async {
        bus.check(&node).await?;
        let actions = bus.actions(&node).await;
        let number = match &action {
            None => 0,
            Some(asked) => {
                let mut known = actions.iter();
                let at = known.position(|action| action.eq_ignore_ascii_case(asked));
                at.ok_or_else(|| {
                    let known = actions.join(", ");
                    Error::NotSupported(format!("action {asked:?}: the node has {known:?}"))
                })?
            }
        };
        bus.act(&node, i32::try_from(number).unwrap_or(0)).await
    };
    supported(
        in_time(deadline(), invoked).await?,
        "the node has no action",
    )
}

pub(crate) async fn set_value(
    State(toolbox): State<Arc<Toolbox>>,
    JsonBody(request): JsonBody<NodeRequest>,
) -> Result<Json<Done>, Failure> {
    let node = node(request.id.as_deref())?;
    let value = request.value.unwrap_or_default();
    if value.len() > VALUE_BYTES_MAX || value.contains('\0') {
        let text = format!("value: at most {VALUE_BYTES_MAX} bytes and no NUL");
        return Err(Error::Invalid(text).into());
    }
    let bus = connect(&toolbox).await?;
    let set = async {
        bus.check(&node).await?;
        if bus.set_text(&node, &value).await? {
            return Ok(true);
        }
        match value.trim().parse() {
            Ok(number) => bus.set_number(&node, number).await,
            Err(_) => Ok(false),
        }
    };
    let why = "the node takes no such value: it is neither editable text nor a number";
    supported(in_time(deadline(), set).await?, why)
}

fn deadline() -> Instant {
    Instant::now() + TIME_MAX
}

async fn in_time<T>(
    end: Instant,
    work: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    let left = end.saturating_duration_since(Instant::now());
    timeout(left, work).await.map_err(|_| Error::Late)?
}

fn supported(done: bool, why: &str) -> Result<Json<Done>, Failure> {
    if done {
        Ok(Json(Done {}))
    } else {
        Err(Error::NotSupported(why.to_owned()).into())
    }
}

async fn connect(toolbox: &Toolbox) -> Result<Bus, Failure> {
    let variables = toolbox.environment.get();
    kit::has_display_server(&variables)?;
    let number = layout::display(&variables)?;
    let address = match display::with(number, bus::address).await {
        Ok(Some(address)) => address,
        Ok(None) => {
            let why = "this desktop runs no accessibility bus; install at-spi2-core and restart it";
            return Err(Error::Unavailable(why.to_owned()).into());
        }
        Err(error) => {
            let why = format!("{error}; start it with POST /computeruse/start");
            return Err(Error::Unavailable(why).into());
        }
    };
    Ok(Bus::connect(&address).await?)
}

/// What the window manager says about the focus; only asked for when it is wanted.
async fn active(toolbox: &Toolbox, scope: Scope) -> Result<Option<Active>, Failure> {
    if scope != Scope::Focused {
        return Ok(None);
    }
    let number = layout::display(&toolbox.environment.get())?;
    Ok(display::with(number, windows::active).await?)
}

async fn find_root(bus: &Bus, scope: Scope, active: Option<Active>) -> Result<Reference, Error> {
    let registry = Reference::registry();
    let found = match scope {
        Scope::All => Some(registry),
        Scope::Pid(pid) => program(bus, &registry, pid).await,
        Scope::Focused => match focused(bus, &registry).await {
            Some(window) => Some(window),
            // Some browsers never say which of their windows is active; the window manager does.
            None => titled(bus, &registry, active).await,
        },
    };
    found.ok_or_else(|| {
        Error::NoRoot(match scope {
            Scope::Pid(pid) => format!("no accessible program has the process id {pid}"),
            Scope::Focused | Scope::All => {
                "no accessible window has the focus; use scope all, or focus one".to_owned()
            }
        })
    })
}

async fn program(bus: &Bus, registry: &Reference, pid: u32) -> Option<Reference> {
    let is_it = |program: Reference| async move {
        (bus.pid(&program).await == Some(pid)).then_some(program)
    };
    first(bus.children(registry).await, is_it).await
}

async fn focused(bus: &Bus, registry: &Reference) -> Option<Reference> {
    let window = |program: Reference| async move { active_window(bus, &program).await };
    first(bus.children(registry).await, window).await
}

/// The first that `look` finds something in.
async fn first<F>(places: Vec<Reference>, look: impl Fn(Reference) -> F) -> Option<Reference>
where
    F: Future<Output = Option<Reference>>,
{
    let looked = futures_util::stream::iter(places.into_iter().take(PROGRAMS_MAX))
        .map(look)
        .buffered(PROGRAMS_AT_ONCE);
    let mut found = std::pin::pin!(looked.filter_map(|found| async { found }));
    found.next().await
}

/// The window of that title, or the only one, of the program that has the keyboard.
async fn titled(bus: &Bus, registry: &Reference, active: Option<Active>) -> Option<Reference> {
    let active = active?;
    let program = program(bus, registry, active.pid).await?;
    let windows = bus.children(&program).await;
    for window in windows.iter().take(PROGRAMS_MAX) {
        if bus.name(window).await == active.title {
            return Some(window.clone());
        }
    }
    match windows.as_slice() {
        [only] => Some(only.clone()),
        _ => None,
    }
}

async fn active_window(bus: &Bus, program: &Reference) -> Option<Reference> {
    for window in bus.children(program).await.into_iter().take(PROGRAMS_MAX) {
        if bus.states(&window).await.contains(&"active") {
            return Some(window);
        }
    }
    None
}

fn scope(name: Option<&str>, pid: Option<i64>) -> Result<Scope, Error> {
    match (name.unwrap_or_default(), pid) {
        ("" | "focused", _) => Ok(Scope::Focused),
        ("all", _) => Ok(Scope::All),
        ("pid", Some(pid)) => match u32::try_from(pid) {
            Ok(pid @ 1..) => Ok(Scope::Pid(pid)),
            _ => Err(Error::Invalid(format!("pid {pid}: a process id"))),
        },
        ("pid", None) => Err(Error::Invalid("pid: is required with scope pid".to_owned())),
        (other, _) => Err(Error::Scope(format!(
            "scope {other:?}: focused, pid or all"
        ))),
    }
}

fn node(id: Option<&str>) -> Result<Reference, Error> {
    let id = id.filter(|id| !id.is_empty());
    Reference::parse(id.ok_or_else(|| Error::Invalid("id: is required".to_owned()))?)
}

fn wanted_states(states: Option<Vec<String>>) -> Result<Vec<String>, Error> {
    let normal = |state: String| {
        if states::is_known(&state) {
            Ok(states::normal(&state))
        } else {
            Err(Error::Invalid(format!(
                "states {state:?}: not a state, such as focused"
            )))
        }
    };
    states.unwrap_or_default().into_iter().map(normal).collect()
}

fn name_match(name: Option<String>, how: Option<&str>) -> Result<NameMatch, Error> {
    let name = name.filter(|name| !name.is_empty());
    if name
        .as_ref()
        .is_some_and(|name| name.len() > PATTERN_BYTES_MAX)
    {
        return Err(Error::Invalid(format!(
            "name: at most {PATTERN_BYTES_MAX} bytes"
        )));
    }
    let how = how.unwrap_or_default();
    match (how, name) {
        ("" | "substring" | "exact" | "regex", None) => Ok(NameMatch::Any),
        ("" | "substring", Some(name)) => Ok(NameMatch::Contains(name.to_lowercase())),
        ("exact", Some(name)) => Ok(NameMatch::Is(name)),
        ("regex", Some(name)) => {
            let config = Regex::config().nfa_size_limit(Some(REGEX_BYTES_MAX));
            let regex = Regex::builder().configure(config).build(&name);
            let refuse = |error| Error::Invalid(format!("name {name:?}: {error}"));
            regex
                .map(|regex| NameMatch::Matches(Box::new(regex)))
                .map_err(refuse)
        }
        (other, _) => Err(Error::Invalid(format!(
            "nameMatch {other:?}: substring, exact or regex"
        ))),
    }
}

impl NameMatch {
    fn fits(&self, name: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Contains(part) => name.to_lowercase().contains(part),
            Self::Is(whole) => name == whole,
            Self::Matches(regex) => regex.is_match(name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_names_what_it_lacks() {
        assert_eq!(scope(None, None).unwrap(), Scope::Focused);
        assert_eq!(scope(Some("pid"), Some(7)).unwrap(), Scope::Pid(7));
        for (name, pid) in [
            ("pid", None),
            ("pid", Some(-1)),
            ("pid", Some(0)),
            ("here", None),
        ] {
            assert!(scope(Some(name), pid).is_err(), "{name} {pid:?}");
        }
    }

    #[test]
    fn names_match_in_three_ways() {
        let fits =
            |name: &str, how, text| name_match(Some(name.to_owned()), how).unwrap().fits(text);
        assert!(fits("oK", None, "Book") && !fits("ok", Some("exact"), "OK"));
        assert!(fits("^O.$", Some("regex"), "OK"));
        for (name, how) in [("(", "regex"), ("a{9999}{9999}", "regex"), ("x", "fuzzy")] {
            assert!(
                name_match(Some(name.to_owned()), Some(how)).is_err(),
                "{name}"
            );
        }
    }
}
