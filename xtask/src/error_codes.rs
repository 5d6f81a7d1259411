//! Every error code that a client can meet is in `docs/errors.md`, and nothing else is.
//!
//! A code is found where the sources give it: beside its status, or in a function that is about
//! codes. Must not: need the sources compiled. Next: `tidy`, which reads the files.

use std::collections::BTreeSet;

const DOCUMENT: &str = "docs/errors.md";

/// The sections of the document, and whose codes each has.
const SECTIONS: [(&str, &str); 3] = [
    ("## Control plane", "crates/server/src/"),
    ("## Edge", "crates/edge/src/"),
    ("## Toolbox", "crates/toolbox/src/"),
];

/// What is wrong, given every text file by its path.
pub(crate) fn complaints<'a>(files: impl Iterator<Item = (&'a str, &'a str)>) -> Vec<String> {
    let (mut document, mut sources) = ("", [const { Vec::new() }; SECTIONS.len()]);
    for (path, text) in files {
        if path == DOCUMENT {
            document = text;
        }
        for (at, (_, folder)) in SECTIONS.iter().enumerate() {
            if path.starts_with(folder) && path.ends_with(".rs") {
                sources[at].push(text);
            }
        }
    }
    let mut complaints = Vec::new();
    for ((title, folder), sources) in SECTIONS.iter().zip(sources) {
        let documented = documented(document, title);
        let given: BTreeSet<&str> = sources.iter().flat_map(|text| given(text)).collect();
        for code in given.difference(&documented) {
            complaints.push(format!("{DOCUMENT}: {title} lacks {code} of {folder}"));
        }
        let quoted = |code: &str| {
            let quoted = format!("\"{code}\"");
            sources.iter().any(|text| text.contains(&quoted))
        };
        for code in documented.iter().filter(|code| !quoted(code)) {
            complaints.push(format!("{DOCUMENT}: {title} has {code}, {folder} has not"));
        }
    }
    complaints
}

/// The codes in the first column of a section's table.
fn documented<'a>(document: &'a str, title: &str) -> BTreeSet<&'a str> {
    let section = document.split(title).nth(1).unwrap_or_default();
    let section = section.split("\n## ").next().unwrap_or_default();
    let rows = section.lines().filter_map(|line| line.strip_prefix("| "));
    let columns = rows.map(|row| row.split('|').next().unwrap_or_default());
    columns
        .flat_map(|column| column.split('`'))
        .filter(|word| is_code(word))
        .collect()
}

/// The codes that a source gives to clients.
fn given(source: &str) -> Vec<&str> {
    let beside_a_status = source.split("StatusCode::").skip(1).filter_map(|rest| {
        let rest =
            rest.trim_start_matches(|letter: char| letter.is_ascii_uppercase() || letter == '_');
        let literal = rest.strip_prefix(',')?.trim_start().strip_prefix('"')?;
        literal.split('"').next()
    });
    let about_codes = source.split("fn code(").skip(1).flat_map(|rest| {
        let body = rest.split("\n    }\n").next().unwrap_or_default();
        body.split('"').skip(1).step_by(2)
    });
    beside_a_status
        .chain(about_codes)
        .filter(|word| is_code(word))
        .collect()
}

fn is_code(word: &str) -> bool {
    let is_part =
        |letter: char| letter.is_ascii_uppercase() || letter.is_ascii_digit() || letter == '_';
    word.starts_with(|letter: char| letter.is_ascii_uppercase()) && word.chars().all(is_part)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLES: &str = "# Errors\n\n## Control plane\n\n| code | status |\n|---|---|\n\
        | `BUSY` | 503 | try `LATER` |\n| `ODD`, `EVEN` | 400 |\n\n## Edge\n\n## Toolbox\n\n";
    const SOURCE: &str = r#"
        Self::Busy => (StatusCode::SERVICE_UNAVAILABLE, "BUSY"),
        Self::new(
            StatusCode::BAD_REQUEST,
            "ODD",
        let method = "POST";
    const fn code(&self) -> &'static str {
        Self::Even => "EVEN",
    }
    "#;

    fn checked(document: &str, source: &str) -> Vec<String> {
        let files = [(DOCUMENT, document), ("crates/server/src/a.rs", source)];
        complaints(files.into_iter())
    }

    #[test]
    fn codes_of_sources_and_document_agree() {
        assert_eq!(checked(TABLES, SOURCE), Vec::<String>::new());
    }

    #[test]
    fn a_code_that_only_one_of_them_has_is_found() {
        let less = TABLES.replace(", `EVEN`", "");
        assert!(checked(&less, SOURCE)[0].contains("lacks EVEN"));
        let more = SOURCE.replace("\"ODD\"", "\"OTHER\"");
        let both = checked(TABLES, &more);
        assert!(both[0].contains("lacks OTHER") && both[1].contains("has ODD"));
    }

    #[test]
    fn a_code_belongs_to_the_section_of_those_who_give_it() {
        let elsewhere = [(DOCUMENT, TABLES), ("crates/edge/src/a.rs", SOURCE)];
        let complaints = complaints(elsewhere.into_iter());
        assert_eq!(complaints.len(), 6, "{complaints:?}");
    }
}
