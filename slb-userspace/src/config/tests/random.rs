//! Texts that nobody would write on purpose.

use proptest::prelude::*;

use super::{VALID, load_str};

/// Pieces that get further into the checks than random characters do.
const PIECES: [&str; 24] = [
    "[daemon]\n",
    "[dataplane]\n",
    "[[instance]]\n",
    "[[instance.listener]]\n",
    "[instance]\n",
    "[[server_group]]\n",
    "backends = [",
    "health_check = {",
    "}",
    "]",
    "port = ",
    "vips = ",
    "\"10.0.0.1\"",
    "\"::1\"",
    "\"1s\"",
    "-1",
    "99999999999999999999999",
    "0x",
    "1.5e9",
    "true",
    "\n",
    ", ",
    "é\u{1F980}",
    "\"\\u0000\"",
];

/// Checks a text; shows everything that was found, as a terminal and as a program would get it.
fn check(text: &str) {
    match load_str("slb.toml", text) {
        Ok(checked) => {
            for warning in checked.warnings {
                let _ = warning.to_string();
            }
        }
        Err(found) => {
            assert!(found.errors() > 0);
            assert!(!found.to_string().contains('\u{1b}'));
            assert!(
                found.iter().all(|one| one.position.is_some_and(|at| at.line <= text.len() + 1))
            );
            let _ = serde_json::to_string(&found).unwrap();
        }
    }
}

proptest! {
    #[test]
    fn random_text_never_panics(text in any::<String>()) {
        check(&text);
    }

    #[test]
    fn random_pieces_of_a_file_never_panic(
        pieces in prop::collection::vec(prop::sample::select(PIECES.as_slice()), 0..40),
    ) {
        check(&pieces.concat());
    }

    #[test]
    fn a_valid_file_with_random_changes_never_panics(
        changes in prop::collection::vec(
            (any::<prop::sample::Index>(), 0usize..12, prop::sample::select(PIECES.as_slice())),
            1..8,
        ),
    ) {
        let mut text = VALID.to_owned();
        for (at, removed, inserted) in changes {
            let starts: Vec<usize> = text.char_indices().map(|(start, _)| start).collect();
            let first = at.index(starts.len());
            let start = starts[first];
            let end = starts.get(first + removed).copied().unwrap_or(text.len());
            text.replace_range(start..end, inserted);
            if text.is_empty() {
                break;
            }
        }
        check(&text);
    }

    #[test]
    fn a_valid_file_with_random_bytes_in_it_never_panics(
        at in any::<prop::sample::Index>(),
        character in any::<char>(),
    ) {
        let mut text = VALID.to_owned();
        text.insert(at.index(VALID.len()), character);
        check(&text);
    }
}

#[test]
fn a_file_cut_off_anywhere_never_panics() {
    for end in 0..VALID.len() {
        check(&VALID[..end]);
    }
}
