//! How a failure reads in one field of a log line.

use std::error::Error;

/// An error and all its causes.
#[must_use]
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Failure(&'static str, Option<Box<Self>>);

    impl std::fmt::Display for Failure {
        fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            to.write_str(self.0)
        }
    }

    impl Error for Failure {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            self.1.as_deref().map(|cause| cause as &dyn Error)
        }
    }

    #[test]
    fn every_cause_is_named_in_order() {
        let failure = |text, cause: Option<Failure>| Failure(text, cause.map(Box::new));
        let error = failure(
            "start",
            Some(failure("mount", Some(failure("denied", None)))),
        );
        assert_eq!(chain(&error), "start: mount: denied");
    }
}
