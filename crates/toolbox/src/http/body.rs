//! JSON request bodies, whatever their content type says: some clients send none.

use axum::extract::{FromRequest, Request};
use http::header::CONTENT_LENGTH;
use http_body_util::{BodyExt as _, Limited};
use serde::de::DeserializeOwned;

use super::error::Failure;

/// Commands and sources are text that somebody wrote; files have routes of their own.
const JSON_BYTES_MAX: usize = 16 << 20;

/// The parsed body; an absent one is an empty object.
#[derive(Debug)]
pub(crate) struct JsonBody<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for JsonBody<T> {
    type Rejection = Failure;

    async fn from_request(request: Request, _: &S) -> Result<Self, Failure> {
        let announced = request
            .headers()
            .get(CONTENT_LENGTH)
            .and_then(|value| value.to_str().ok());
        if announced
            .and_then(|text| text.parse().ok())
            .is_some_and(|n: u64| n > JSON_BYTES_MAX as u64)
        {
            return Err(Failure::too_large(JSON_BYTES_MAX));
        }
        let collected = Limited::new(request.into_body(), JSON_BYTES_MAX)
            .collect()
            .await;
        let bytes = match collected {
            Ok(collected) => collected.to_bytes(),
            Err(error) if error.is::<http_body_util::LengthLimitError>() => {
                return Err(Failure::too_large(JSON_BYTES_MAX));
            }
            Err(error) => return Err(Failure::bad_request(format!("request body: {error}"))),
        };
        parse(&bytes).map(Self)
    }
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Failure> {
    let bytes = if bytes.trim_ascii().is_empty() {
        b"{}"
    } else {
        bytes
    };
    let mut json = serde_json::Deserializer::from_slice(bytes);
    serde_path_to_error::deserialize(&mut json)
        .map_err(|error| {
            let path = error.path().to_string();
            let reason = error.into_inner();
            if path == "." || path == "?" {
                Failure::invalid_body(reason.to_string())
            } else {
                Failure::invalid_body(format!("{path}: {reason}"))
            }
        })
        .and_then(|value| {
            json.end()
                .map_err(|error| Failure::invalid_body(error.to_string()))?;
            Ok(value)
        })
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    struct Shape {
        #[serde(default)]
        count: u8,
    }

    #[test]
    fn unknown_fields_are_ignored_and_an_absent_body_is_an_empty_object() {
        assert_eq!(
            parse::<Shape>(br#"{"count":3,"more":[]}"#).unwrap().count,
            3
        );
        assert_eq!(parse::<Shape>(b" \n").unwrap().count, 0);
    }

    #[test]
    fn a_wrong_type_is_refused_by_the_name_of_its_field() {
        let failure = parse::<Shape>(br#"{"count":"three"}"#).unwrap_err();
        assert!(
            failure.message().starts_with("count: invalid type: string"),
            "{failure:?}"
        );
        assert!(parse::<Shape>(b"{} trailing").is_err());
    }
}
