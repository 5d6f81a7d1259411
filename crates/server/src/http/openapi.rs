//! The OpenAPI document: paths from the route table, schemas from the wire types.
//!
//! Committed as `openapi/sebring.json`; a test compares. `UPDATE_OPENAPI=1 cargo test -p
//! sebring-server openapi` writes it anew.

use sebring_api::{error, public};
use serde_json::{Map, Value, json};
use utoipa::OpenApi;

use super::table::{Access, Answer, QueryKind, QueryParameter, Route};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Sebring",
        description = "The control plane: sandboxes, snapshots, keys."
    ),
    components(schemas(
        error::ErrorBody,
        public::ApiKeyCreated,
        public::ApiKeyListed,
        public::Configuration,
        public::CreateApiKey,
        public::CreateSandbox,
        public::Health,
        public::LastActivity,
        public::ListSandboxes,
        public::MetricsResponse,
        public::MetricSeries,
        public::MetricDataPoint,
        public::NetworkSettings,
        public::Organization,
        public::OrganizationUser,
        public::PaginatedSandboxes,
        public::PaginatedSnapshots,
        public::PortPreviewUrl,
        public::Readiness,
        public::Region,
        public::ReplaceLabels,
        public::ResizeSandbox,
        public::Sandbox,
        public::SignedPortPreviewUrl,
        public::Snapshot,
        public::ToolboxProxyUrl,
        public::Url,
        public::User,
    ))
)]
struct Schemas;

/// The whole document, in the order of the table.
pub(crate) fn document() -> String {
    let mut document = json!(Schemas::openapi());
    let mut paths = Map::new();
    for route in super::routes() {
        let path = paths.entry(route.path).or_insert_with(|| json!({}));
        let method = route.method.as_str().to_ascii_lowercase();
        path[method] = operation(&route);
    }
    document["paths"] = Value::Object(paths);
    document["components"]["securitySchemes"] = json!({
        "bearer": {"type": "http", "scheme": "bearer", "description": "An API key: dtn_…"},
    });
    let mut text = serde_json::to_string_pretty(&document).expect("a JSON value can be printed");
    text.push('\n');
    text
}

fn operation(route: &Route) -> Value {
    let mut operation = json!({
        "operationId": route.id,
        "tags": [tag(route.path)],
        "parameters": parameters(route),
        "responses": responses(route.answer),
    });
    if let Some(schema) = route.request {
        let content = json!({"application/json": {"schema": reference(schema)}});
        operation["requestBody"] = json!({"content": content});
    }
    match route.access {
        Access::Public => {}
        Access::AnyKey => operation["security"] = json!([{"bearer": []}]),
        Access::Permission(permission) => {
            operation["security"] = json!([{"bearer": []}]);
            operation["x-permission"] = json!(permission.as_str());
        }
    }
    operation
}

fn tag(path: &str) -> &str {
    path.trim_start_matches('/')
        .split('/')
        .next()
        .unwrap_or_default()
}

fn parameters(route: &Route) -> Vec<Value> {
    let in_path = route.path.split('/').filter_map(|part| {
        let name = part.strip_prefix('{')?.strip_suffix('}')?;
        Some(json!({"name": name, "in": "path", "required": true, "schema": {"type": "string"}}))
    });
    in_path
        .chain(route.query.iter().map(query_parameter))
        .collect()
}

fn query_parameter(parameter: &QueryParameter) -> Value {
    let schema = match parameter.kind {
        QueryKind::Text => json!({"type": "string"}),
        QueryKind::Texts => json!({"type": "array", "items": {"type": "string"}}),
        QueryKind::Integer => json!({"type": "integer"}),
        QueryKind::Boolean => json!({"type": "boolean"}),
        QueryKind::Instant => json!({"type": "string", "format": "date-time"}),
    };
    let mut described = json!({"name": parameter.name, "in": "query", "schema": schema});
    if !parameter.description.is_empty() {
        described["description"] = json!(parameter.description);
    }
    described
}

fn responses(answer: Answer) -> Value {
    let (status, description, content) = match answer {
        Answer::Json(status, schema) => (status, "Done.", Some(json_content(&reference(schema)))),
        Answer::List(schema) => {
            let list = json!({"type": "array", "items": reference(schema)});
            (200, "Done.", Some(json_content(&list)))
        }
        Answer::Text => {
            let text = json!({"text/plain": {"schema": {"type": "string"}}});
            (200, "Raw text, without quotes.", Some(text))
        }
        Answer::Empty(status) => (status, "Done.", None),
        Answer::NotYet => {
            let error = json_content(&reference("ErrorBody"));
            (422, "Not available yet.", Some(error))
        }
    };
    let mut success = json!({"description": description});
    if let Some(content) = content {
        success["content"] = content;
    }
    let error = json_content(&reference("ErrorBody"));
    json!({
        status.to_string(): success,
        "default": {"description": "Refused or failed.", "content": error},
    })
}

fn json_content(schema: &Value) -> Value {
    json!({"application/json": {"schema": schema}})
}

fn reference(schema: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{schema}")})
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::path::Path;

    use super::*;

    #[test]
    fn the_committed_openapi_document_is_current() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../openapi/sebring.json");
        #[expect(
            clippy::disallowed_methods,
            reason = "asked for by whoever runs the test"
        )]
        let update = std::env::var("UPDATE_OPENAPI").is_ok();
        if update {
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, document()).unwrap();
        }
        let committed = std::fs::read_to_string(&path).unwrap();
        assert!(
            committed == document(),
            "run UPDATE_OPENAPI=1 cargo test -p sebring-server openapi, and read the difference"
        );
    }

    #[test]
    fn every_reference_in_the_openapi_document_leads_somewhere() {
        let document: Value = serde_json::from_str(&document()).unwrap();
        let mut references = Vec::new();
        collect_references(&document, &mut references);
        assert!(references.len() > 50);
        for reference in references {
            let pointer = reference.trim_start_matches('#');
            assert!(document.pointer(pointer).is_some(), "{reference}");
        }
    }

    #[test]
    fn operation_ids_are_unique() {
        let routes = super::super::routes();
        let ids: HashSet<_> = routes.iter().map(|route| route.id).collect();
        assert_eq!(ids.len(), routes.len());
    }

    fn collect_references(value: &Value, found: &mut Vec<String>) {
        match value {
            Value::Object(map) => {
                for (key, value) in map {
                    match (key.as_str(), value) {
                        ("$ref", Value::String(target)) => found.push(target.clone()),
                        (_, _) => collect_references(value, found),
                    }
                }
            }
            Value::Array(items) => items
                .iter()
                .for_each(|item| collect_references(item, found)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
}
