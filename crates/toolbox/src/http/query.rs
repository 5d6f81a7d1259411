//! Query parameters, form-encoded: `+` and `%20` are both a space.

use axum::extract::FromRequestParts;
use http::request::Parts;

use super::error::Failure;

/// All parameters of a request, in order.
#[derive(Debug)]
pub(crate) struct Query(Vec<(String, String)>);

impl<S: Send + Sync> FromRequestParts<S> for Query {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        Ok(Self::parse(parts.uri.query().unwrap_or_default()))
    }
}

impl Query {
    pub(super) fn parse(query: &str) -> Self {
        Self(
            form_urlencoded::parse(query.as_bytes())
                .into_owned()
                .collect(),
        )
    }

    /// The value when present and not empty.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().find(|(key, _)| key == name)?;
        Some(found.1.as_str()).filter(|value| !value.is_empty())
    }

    pub(crate) fn required(&self, name: &str) -> Result<&str, Failure> {
        self.get(name)
            .ok_or_else(|| Failure::bad_request(format!("query {name}: is required")))
    }

    /// A whole number of zero or more.
    pub(crate) fn number(&self, name: &str) -> Result<Option<u64>, Failure> {
        let parse = |text: &str| {
            text.parse().map_err(|_| {
                Failure::bad_request(format!(
                    "query {name} {text:?}: must be a whole number >= 0"
                ))
            })
        };
        self.get(name).map(parse).transpose()
    }

    /// False when absent.
    pub(crate) fn flag(&self, name: &str) -> Result<bool, Failure> {
        match self.get(name) {
            None => Ok(false),
            Some("1" | "t" | "T" | "true" | "True" | "TRUE") => Ok(true),
            Some("0" | "f" | "F" | "false" | "False" | "FALSE") => Ok(false),
            Some(other) => Err(Failure::bad_request(format!(
                "query {name} {other:?}: accepted are true and false"
            ))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plus_and_percent_twenty_are_both_a_space() {
        let query = Query::parse("path=a+b%20c%2B%C3%BC&empty=&recursive=true");
        assert_eq!(query.get("path"), Some("a b c+ü"));
        assert_eq!(query.get("empty"), None);
        assert!(query.flag("recursive").unwrap());
        assert!(query.required("absent").is_err());
    }
}
