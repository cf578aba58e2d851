//! Texts that are not TOML.

use super::refuses;
use crate::config::tests::{changed, errors};

#[test]
fn a_syntax_error_has_a_place_and_words() {
    refuses(
        "port = 80\n",
        "port 80\n",
        "80\n",
        "not valid TOML: key with no value",
        "expected `=`",
    );
}

#[test]
fn text_without_quotes_is_told_to_have_them() {
    refuses(
        "\"tcp\"\nport = 80\n",
        "tcp\nport = 80\n",
        "tcp\nport = 80",
        "not valid TOML: invalid boolean",
        "written in quotes",
    );
}

#[test]
fn a_key_that_is_written_twice_is_refused() {
    refuses(
        "port = 80\n",
        "port = 80\nport = 81\n",
        "port = 81",
        "not valid TOML: duplicate key",
        "once",
    );
}

#[test]
fn several_syntax_errors_are_told_at_once() {
    let text = changed("port = 80\n", "port 80\n").replace("port = 53\nb", "port 53\nb");
    assert_eq!(errors(&text).len(), 2);
}
