//! The accessibility bus, and one node on it.

use std::collections::HashMap;

use serde::Serialize;
use x11rb::protocol::xproto::{AtomEnum, ConnectionExt as _};
use zbus::connection::Builder;
use zbus::names::OwnedUniqueName;
use zbus::{Connection, DynamicType, Message, OwnedObjectPath, OwnedVariant, Variant};

use super::{ANSWER_MAX, Error, states};
use crate::computer::display::{self, Display};

const ACCESSIBLE: &str = "org.a11y.atspi.Accessible";
const ACTION: &str = "org.a11y.atspi.Action";
const COMPONENT: &str = "org.a11y.atspi.Component";
const EDITABLE: &str = "org.a11y.atspi.EditableText";
const VALUE: &str = "org.a11y.atspi.Value";
const PROPERTIES: &str = "org.freedesktop.DBus.Properties";
const REGISTRY: &str = "org.a11y.atspi.Registry";
const ROOT_PATH: &str = "/org/a11y/atspi/accessible/root";
/// What a reference to nothing has as its path.
const NULL_PATH: &str = "/org/a11y/atspi/null";
/// Coordinates that count from the screen's corner.
const OF_SCREEN: u32 = 0;
/// Words of the property that holds the bus's address.
const ADDRESS_WORDS_MAX: u32 = 256;
/// Texts of programs are cut to this.
const TEXT_BYTES_MAX: usize = 4 << 10;

/// A connection for one request.
#[derive(Clone, Debug)]
pub(super) struct Bus(Connection);

/// Where a node is: a program's connection and a path in it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Reference {
    pub(super) bus: String,
    pub(super) path: OwnedObjectPath,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Bounds {
    x: i32,
    y: i32,
    width: i32,
    height: i32,
}

/// What a node says about itself.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Node {
    pub(super) id: String,
    pub(super) role: String,
    pub(super) name: String,
    description: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    bounds: Option<Bounds>,
    pub(super) states: Vec<&'static str>,
    actions: Vec<String>,
}

impl Reference {
    pub(super) fn parse(id: &str) -> Result<Self, Error> {
        let refuse = || Error::Invalid(format!("id {id:?}: as the tree tells it, <bus>:<path>"));
        let colon = id.find(":/").ok_or_else(refuse)?;
        let (bus, path) = (&id[..colon], &id[colon + 1..]);
        let path = OwnedObjectPath::try_from(path).map_err(|_| refuse())?;
        let bus = OwnedUniqueName::try_from(bus).map_err(|_| refuse())?;
        Ok(Self {
            bus: bus.to_string(),
            path,
        })
    }

    pub(super) fn id(&self) -> String {
        format!("{}:{}", self.bus, self.path.as_str())
    }

    /// All programs.
    pub(super) fn registry() -> Self {
        Self {
            bus: REGISTRY.to_owned(),
            path: OwnedObjectPath::try_from(ROOT_PATH).expect("the constant is a path"),
        }
    }
}

/// The address that the launcher has left on the root window.
pub(super) fn address(display: &Display) -> Result<Option<String>, display::Error> {
    let name = display.atom("AT_SPI_BUS")?;
    let reply = display
        .x
        .get_property(
            false,
            display.root,
            name,
            AtomEnum::STRING,
            0,
            ADDRESS_WORDS_MAX,
        )?
        .reply()?;
    let address = String::from_utf8_lossy(&reply.value);
    let address = address.trim_end_matches('\0');
    Ok(Some(address.to_owned()).filter(|address| !address.is_empty()))
}

impl Bus {
    pub(super) async fn connect(address: &str) -> Result<Self, Error> {
        // Whoever can write the property must not send us anywhere but to a socket of the sandbox.
        if !address.starts_with("unix:") || address.contains(';') {
            return Err(Error::Unavailable(
                "its bus has no usable address".to_owned(),
            ));
        }
        let builder = Builder::address(address).method_timeout(ANSWER_MAX);
        let connection = tokio::time::timeout(ANSWER_MAX, builder.build()).await;
        match connection {
            Ok(Ok(connection)) => Ok(Self(connection)),
            Ok(Err(error)) => Err(Error::Unavailable(error.to_string())),
            Err(_) => Err(Error::Unavailable("its bus does not answer".to_owned())),
        }
    }

    async fn call<B>(
        &self,
        node: &Reference,
        interface: &'static str,
        method: &'static str,
        body: &B,
    ) -> Result<Message, zbus::Error>
    where
        B: serde::Serialize + DynamicType + Sync,
    {
        self.0
            .call_method(
                Some(node.bus.as_str()),
                node.path.as_ref(),
                Some(interface),
                method,
                body,
            )
            .await
    }

    pub(super) async fn children(&self, node: &Reference) -> Vec<Reference> {
        let Ok(reply) = self.call(node, ACCESSIBLE, "GetChildren", &()).await else {
            return Vec::new();
        };
        let children: Vec<(String, OwnedObjectPath)> =
            reply.body().deserialize().unwrap_or_default();
        children
            .into_iter()
            .filter(|(bus, path)| !bus.is_empty() && path.as_str() != NULL_PATH)
            .map(|(bus, path)| Reference { bus, path })
            .collect()
    }

    pub(super) async fn states(&self, node: &Reference) -> Vec<&'static str> {
        let reply = self.call(node, ACCESSIBLE, "GetState", &()).await;
        let words: Vec<u32> = reply
            .ok()
            .and_then(|reply| reply.body().deserialize().ok())
            .unwrap_or_default();
        states::names(&words)
    }

    /// The process behind a program's connection.
    pub(super) async fn pid(&self, node: &Reference) -> Option<u32> {
        let reply = self
            .0
            .call_method(
                Some("org.freedesktop.DBus"),
                "/org/freedesktop/DBus",
                Some("org.freedesktop.DBus"),
                "GetConnectionUnixProcessID",
                &node.bus,
            )
            .await;
        reply.ok()?.body().deserialize().ok()
    }

    /// What the node says; nothing when it is gone. What it does not say is left empty.
    pub(super) async fn describe(&self, node: &Reference) -> Option<Node> {
        let role = self.call(node, ACCESSIBLE, "GetRoleName", &()).await.ok()?;
        let role: String = role.body().deserialize().ok()?;
        let (texts, states, bounds, actions) = tokio::join!(
            self.texts(node),
            self.states(node),
            self.bounds(node),
            self.actions(node),
        );
        Some(Node {
            id: node.id(),
            role: cut(role),
            name: texts.0,
            description: texts.1,
            bounds,
            states,
            actions,
        })
    }

    pub(super) async fn name(&self, node: &Reference) -> String {
        self.texts(node).await.0
    }

    async fn texts(&self, node: &Reference) -> (String, String) {
        let reply = self.call(node, PROPERTIES, "GetAll", &ACCESSIBLE).await;
        let mut all: HashMap<String, OwnedVariant> = reply
            .ok()
            .and_then(|reply| reply.body().deserialize().ok())
            .unwrap_or_default();
        let mut text = |name: &str| {
            let value = all
                .remove(name)
                .and_then(|value| String::try_from(value).ok());
            cut(value.unwrap_or_default())
        };
        (text("Name"), text("Description"))
    }

    async fn bounds(&self, node: &Reference) -> Option<Bounds> {
        let reply = self.call(node, COMPONENT, "GetExtents", &OF_SCREEN).await;
        let (x, y, width, height) = reply.ok()?.body().deserialize().ok()?;
        Some(Bounds {
            x,
            y,
            width,
            height,
        })
    }

    pub(super) async fn actions(&self, node: &Reference) -> Vec<String> {
        let reply = self.call(node, ACTION, "GetActions", &()).await;
        let actions: Vec<(String, String, String)> = reply
            .ok()
            .and_then(|reply| reply.body().deserialize().ok())
            .unwrap_or_default();
        actions.into_iter().map(|(name, _, _)| cut(name)).collect()
    }

    pub(super) async fn focus(&self, node: &Reference) -> Result<bool, Error> {
        self.agrees(node, COMPONENT, "GrabFocus", &()).await
    }

    pub(super) async fn act(&self, node: &Reference, number: i32) -> Result<bool, Error> {
        self.agrees(node, ACTION, "DoAction", &number).await
    }

    pub(super) async fn set_text(&self, node: &Reference, text: &str) -> Result<bool, Error> {
        self.agrees(node, EDITABLE, "SetTextContents", &text).await
    }

    pub(super) async fn set_number(&self, node: &Reference, number: f64) -> Result<bool, Error> {
        let body = (VALUE, "CurrentValue", Variant::from(number));
        match self.call(node, PROPERTIES, "Set", &body).await {
            Ok(_) => Ok(true),
            Err(error) if is_unsupported(&error) => Ok(false),
            Err(error) => Err(failed(node, &error)),
        }
    }

    /// Whether the node does it; one that knows no such thing does not.
    async fn agrees<B>(
        &self,
        node: &Reference,
        interface: &'static str,
        method: &'static str,
        body: &B,
    ) -> Result<bool, Error>
    where
        B: serde::Serialize + DynamicType + Sync,
    {
        match self.call(node, interface, method, body).await {
            // Some toolkits answer nothing when they have done it.
            Ok(reply) => Ok(reply.body().deserialize().unwrap_or(true)),
            Err(error) if is_unsupported(&error) => Ok(false),
            Err(error) => Err(failed(node, &error)),
        }
    }

    /// Fails when there is no such node.
    pub(super) async fn check(&self, node: &Reference) -> Result<(), Error> {
        match self.call(node, ACCESSIBLE, "GetRoleName", &()).await {
            Ok(_) => Ok(()),
            Err(error) if is_unsupported(&error) => Err(Error::NodeNotFound(node.id())),
            Err(error) => Err(failed(node, &error)),
        }
    }
}

fn is_unsupported(error: &zbus::Error) -> bool {
    let names = [
        "UnknownMethod",
        "UnknownInterface",
        "UnknownProperty",
        "NotSupported",
    ];
    names.iter().any(|name| error_name(error).ends_with(name))
}

fn failed(node: &Reference, error: &zbus::Error) -> Error {
    let gone = [
        "UnknownObject",
        "ServiceUnknown",
        "NameHasNoOwner",
        "NoReply",
        "Disconnected",
    ];
    let name = error_name(error);
    if gone.iter().any(|one| name.ends_with(one)) {
        return Error::NodeNotFound(node.id());
    }
    Error::Bus(error.to_string())
}

/// The last part of it says what happened.
fn error_name(error: &zbus::Error) -> String {
    match error {
        zbus::Error::MethodError(name, _, _) => name.to_string(),
        zbus::Error::FDO(error) => {
            use zbus::DBusError as _;
            error.name().to_string()
        }
        _ => String::new(),
    }
}

fn cut(mut text: String) -> String {
    text.truncate(text.floor_char_boundary(TEXT_BYTES_MAX));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_found_by_the_id_that_it_was_shown_with() {
        let id = ":1.23:/org/a11y/atspi/accessible/7";
        assert_eq!(Reference::parse(id).unwrap().id(), id);
        for bad in [
            "",
            ":1.23",
            "/org",
            ":1.2:/a//b",
            "org.a11y:/a",
            ":1.2: /a",
            ":1.2:/a b",
        ] {
            assert!(Reference::parse(bad).is_err(), "{bad}");
        }
    }
}
