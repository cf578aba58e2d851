//! The query of a request's path.

/// A path with those pairs that have a value.
pub(super) fn with_query(path: &str, pairs: &[(&str, Option<String>)]) -> String {
    let mut uri = path.to_owned();
    for (key, value) in pairs {
        if let Some(value) = value {
            uri.push(if uri.contains('?') { '&' } else { '?' });
            uri.push_str(key);
            uri.push('=');
            push_encoded(&mut uri, value);
        }
    }
    uri
}

/// Appends `text` so that it can stand in a query (RFC 3986, 2.1).
fn push_encoded(uri: &mut String, text: &str) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            uri.push(char::from(byte));
        } else {
            uri.push_str(&format!("%{byte:02X}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_holds_what_is_set_and_nothing_that_could_end_it() {
        let pairs =
            [("a", None), ("b", Some("[fd00::1]:80".to_owned())), ("c", Some("&=ä".into()))];
        assert_eq!(with_query("/p", &pairs), "/p?b=%5Bfd00%3A%3A1%5D%3A80&c=%26%3D%C3%A4");
        assert_eq!(with_query("/p", &[("a", None)]), "/p");
    }
}
