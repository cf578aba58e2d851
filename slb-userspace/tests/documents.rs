//! What the documents say that the code knows better: the references are written from the code,
//! and every configuration that they show is accepted.
//!
//! `UPDATE_DOCS=1 cargo test --package slb-userspace --test documents` writes the references anew.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use slb_common::{Action, Answer, Verdict};
use slb_userspace::config;

/// The line below which a document is written from the code.
const MARK: &str = "<!-- written from the code; CONTRIBUTING.md says how -->\n";

fn document(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

fn read(path: &str) -> String {
    fs::read_to_string(document(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Compares what stands below the mark, or writes it.
fn is_written_from_the_code(path: &str, reference: &str) {
    let text = read(path);
    let (by_hand, _) =
        text.split_once(MARK).unwrap_or_else(|| panic!("{path} has no line {MARK:?}"));
    let wanted = format!("{by_hand}{MARK}\n{reference}");
    if env::var_os("UPDATE_DOCS").is_some() {
        fs::write(document(path), wanted).unwrap_or_else(|error| panic!("{path}: {error}"));
        return;
    }
    assert!(
        text == wanted,
        "{path} does not say what the code does; this writes it anew:\n  \
         UPDATE_DOCS=1 cargo test --package slb-userspace --test documents"
    );
}

fn verdicts() -> String {
    let sections = [
        (Action::Drop, "Drop", "The packet is thrown away. `slb drops` shows those that happened."),
        (Action::Forward, "Forward", "The packet is rewritten and sent."),
        (
            Action::Refuse,
            "Refuse",
            "The packet is thrown away, and its sender is told where that is due. `slb drops` shows \
             these too.",
        ),
        (Action::Pass, "Pass", "The packet goes to the kernel's network stack, untouched."),
    ];
    let mut page = String::new();
    for (action, title, about) in sections {
        page.push_str(&format!("## {title}\n\n{about}\n\n| label | meaning |\n|---|---|\n"));
        for verdict in Verdict::ALL.iter().filter(|verdict| verdict.action() == action) {
            let manual = verdict.manual().split_whitespace().collect::<Vec<_>>().join(" ");
            page.push_str(&format!("| `{}` | {manual} |\n", verdict.label()));
        }
        page.push('\n');
    }
    page.push_str(
        "## Answers\n\nWhat the sender of a refused packet was told, counted besides the verdict. \
         `slb drops` shows those that happened.\n\n| label | meaning |\n|---|---|\n",
    );
    for answer in Answer::ALL {
        let manual = answer.manual().split_whitespace().collect::<Vec<_>>().join(" ");
        page.push_str(&format!("| `{}` | {manual} |\n", answer.label()));
    }
    page
}

#[test]
fn the_reference_of_the_configuration_is_that_of_the_code() {
    is_written_from_the_code("docs/config.md", &config::reference());
}

#[test]
fn the_list_of_verdicts_is_that_of_the_code() {
    is_written_from_the_code("docs/verdicts.md", &verdicts());
}

#[test]
fn every_whole_configuration_that_the_documents_show_is_accepted_without_a_warning() {
    for path in ["README.md", "docs/config.md", "docs/operating.md"] {
        let text = read(path);
        let blocks = text.split("```toml\n").skip(1).filter_map(|rest| rest.split("```").next());
        // A few lines that show one table are no file.
        let files: Vec<&str> = blocks.filter(|block| block.contains("[dataplane]")).collect();
        assert!(!files.is_empty() || path == "docs/operating.md", "{path} shows no configuration");
        for file in files {
            let checked = config::load_str(path, file).unwrap_or_else(|found| panic!("{found}"));
            assert_eq!(checked.warnings, [], "{file}");
        }
    }
}
