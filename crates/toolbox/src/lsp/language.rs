//! The languages that are spoken, and the server of each.

use std::ffi::CString;
use std::path::Path;

use serde_json::{Value, json};

use crate::environment::Variables;
use crate::process::code_run;

/// What clients call them.
const NAMES: [(&str, Language); 3] = [
    ("python", Language::Python),
    ("typescript", Language::TypeScript),
    ("javascript", Language::JavaScript),
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Language {
    Python,
    TypeScript,
    JavaScript,
}

#[derive(Debug, thiserror::Error)]
#[error("languageId {0:?}: accepted are python, typescript and javascript")]
pub(super) struct Unknown(String);

impl Language {
    pub(super) fn parse(name: &str) -> Result<Self, Unknown> {
        let known = NAMES.iter().find(|(known, _)| *known == name);
        let shown = || Unknown(name.chars().take(64).collect());
        known.map(|(_, language)| *language).ok_or_else(shown)
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Python => "python",
            Self::TypeScript => "typescript",
            Self::JavaScript => "javascript",
        }
    }

    /// How its server is started.
    pub(super) fn command(self) -> &'static [&'static str] {
        match self {
            Self::Python => &["pylsp"],
            Self::TypeScript | Self::JavaScript => &["typescript-language-server", "--stdio"],
        }
    }

    /// What brings it to an image that lacks it.
    pub(super) fn remedy(self) -> &'static str {
        match self {
            Self::Python => "pip install python-lsp-server",
            Self::TypeScript | Self::JavaScript => {
                "npm install --global typescript typescript-language-server"
            }
        }
    }

    pub(super) fn programs(self, env: &Variables) -> Vec<CString> {
        code_run::programs(self.command()[0], env)
    }

    pub(super) fn argv(self) -> Vec<CString> {
        let words = self.command().iter();
        words.filter_map(|word| CString::new(*word).ok()).collect()
    }

    /// Settings that are the server's own.
    pub(super) fn options(self) -> Value {
        match self {
            // What a file imports is not defined in it.
            Self::Python => json!({"pylsp": {"plugins": {
                "jedi_symbols": {"include_import_symbols": false},
            }}}),
            // It would install packages behind everybody's back.
            Self::TypeScript | Self::JavaScript => {
                json!({"disableAutomaticTypingAcquisition": true})
            }
        }
    }

    /// Whether a file is written in it, as far as its name tells.
    pub(super) fn wrote(self, path: &Path) -> bool {
        let endings: &[&str] = match self {
            Self::Python => &["py", "pyi"],
            Self::TypeScript | Self::JavaScript => {
                &["ts", "tsx", "mts", "cts", "js", "jsx", "mjs", "cjs"]
            }
        };
        ending(path).is_some_and(|ending| endings.contains(&ending))
    }

    /// What servers call the language of a document.
    pub(super) fn of_document(self, path: &Path) -> &'static str {
        match (self, ending(path)) {
            (Self::Python, _) => "python",
            (_, Some("tsx")) => "typescriptreact",
            (_, Some("jsx")) => "javascriptreact",
            (_, Some("js" | "mjs" | "cjs")) => "javascript",
            (_, Some("ts" | "mts" | "cts")) => "typescript",
            (language, _) => language.name(),
        }
    }
}

fn ending(path: &Path) -> Option<&str> {
    path.extension().and_then(|ending| ending.to_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_has_the_language_of_its_ending_rather_than_of_its_server() {
        let of = |path: &str| Language::JavaScript.of_document(Path::new(path));
        assert_eq!(of("/a.tsx"), "typescriptreact");
        assert_eq!(of("/a.ts"), "typescript");
        assert_eq!(of("/a"), "javascript");
    }

    #[test]
    fn an_unknown_language_is_refused_with_those_that_are_known() {
        let refusal = Language::parse("cobol").unwrap_err().to_string();
        assert!(refusal.contains("\"cobol\"") && refusal.contains("typescript"));
    }
}
