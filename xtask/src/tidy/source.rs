//! Rust source with what is not code blanked: places stay, so that lines can be told.

/// Blanks comments, strings and characters.
pub(super) fn code_only(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut code = bytes.to_vec();
    let mut at = 0;
    while at < bytes.len() {
        let end = match bytes[at] {
            b'/' if bytes[at..].starts_with(b"//") => end_of_line(bytes, at),
            b'/' if bytes[at..].starts_with(b"/*") => end_of_block_comment(bytes, at),
            b'"' => end_of_string(bytes, at),
            b'r' if !is_word_before(bytes, at) => end_of_raw_string(bytes, at).unwrap_or(at),
            b'b' if bytes[at..].starts_with(b"br") && !is_word_before(bytes, at) => {
                end_of_raw_string(bytes, at + 1).unwrap_or(at)
            }
            b'\'' => end_of_char(bytes, at).unwrap_or(at),
            _ => at,
        };
        for byte in &mut code[at..end] {
            if *byte != b'\n' {
                *byte = b' ';
            }
        }
        at = end.max(at + 1);
    }
    // Only whole characters were blanked, byte by byte.
    String::from_utf8_lossy(&code).into_owned()
}

/// What marks an item as compiled for tests only.
const MARK: &str = "#[cfg(test)]";

/// The modules declared under `#[cfg(test)]` whose content is in another file.
pub(super) fn test_modules(code: &str) -> impl Iterator<Item = &str> {
    code.match_indices(MARK).filter_map(|(at, _)| {
        let item = &code[at + MARK.len()..];
        let (declaration, _) = item.split_once(';')?;
        let name = declaration.trim().rsplit_once("mod ")?.1;
        name.chars().all(is_word).then_some(name)
    })
}

/// Blanks the items under `#[cfg(test)]`; takes what [`code_only`] returns.
pub(super) fn without_tests(code: &str) -> String {
    let mut shipped = code.as_bytes().to_vec();
    for (start, _) in code.match_indices(MARK) {
        let end = end_of_item(code.as_bytes(), start + MARK.len());
        for byte in &mut shipped[start..end] {
            if *byte != b'\n' {
                *byte = b' ';
            }
        }
    }
    String::from_utf8_lossy(&shipped).into_owned()
}

/// The words of code (identifiers, keywords, numbers), with the byte each begins at.
pub(super) fn words(code: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let start = at + code[at..].find(is_word)?;
        let rest = &code[start..];
        at = start + rest.find(|c| !is_word(c)).unwrap_or(rest.len());
        Some((start, &code[start..at]))
    })
}

/// The line, from 1, that a byte is on.
pub(super) fn line_of(text: &str, at: usize) -> usize {
    text.as_bytes()[..at].iter().filter(|&&byte| byte == b'\n').count() + 1
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn is_word_before(bytes: &[u8], at: usize) -> bool {
    at > 0 && (bytes[at - 1].is_ascii_alphanumeric() || bytes[at - 1] == b'_')
}

fn end_of_line(bytes: &[u8], at: usize) -> usize {
    bytes[at..].iter().position(|&byte| byte == b'\n').map_or(bytes.len(), |length| at + length)
}

fn end_of_block_comment(bytes: &[u8], at: usize) -> usize {
    let (mut depth, mut end) = (1, at + 2);
    while depth > 0 && end < bytes.len() {
        if bytes[end..].starts_with(b"/*") {
            (depth, end) = (depth + 1, end + 2);
        } else if bytes[end..].starts_with(b"*/") {
            (depth, end) = (depth - 1, end + 2);
        } else {
            end += 1;
        }
    }
    end
}

fn end_of_string(bytes: &[u8], at: usize) -> usize {
    let mut end = at + 1;
    while end < bytes.len() && bytes[end] != b'"' {
        end += if bytes[end] == b'\\' { 2 } else { 1 };
    }
    bytes.len().min(end + 1)
}

fn end_of_raw_string(bytes: &[u8], at: usize) -> Option<usize> {
    let hashes = bytes[at + 1..].iter().take_while(|&&byte| byte == b'#').count();
    let open = at + 1 + hashes;
    (bytes.get(open) == Some(&b'"')).then_some(())?;
    let close = [b"\"".as_slice(), &b"#".repeat(hashes)].concat();
    let body = &bytes[open + 1..];
    let length = body.windows(close.len()).position(|window| window == close)?;
    Some(open + 1 + length + close.len())
}

/// A quote begins a lifetime when no quote closes it after one character.
fn end_of_char(bytes: &[u8], at: usize) -> Option<usize> {
    let body = &bytes[at + 1..];
    let length = if body.first() == Some(&b'\\') {
        2 + body.get(2..)?.iter().position(|&byte| byte == b'\'')?
    } else {
        std::str::from_utf8(&body[..body.len().min(4)])
            .or_else(|error| std::str::from_utf8(&body[..error.valid_up_to()]))
            .ok()?
            .chars()
            .next()?
            .len_utf8()
    };
    (body.get(length) == Some(&b'\'')).then_some(at + 1 + length + 1)
}

/// An item ends with its closing brace, or with a semicolon outside of brackets.
fn end_of_item(code: &[u8], start: usize) -> usize {
    let (mut braces, mut others) = (0_usize, 0_usize);
    for (offset, byte) in code[start..].iter().enumerate() {
        match byte {
            b'{' => braces += 1,
            b'}' if braces <= 1 => return start + offset + 1,
            b'}' => braces -= 1,
            b'(' | b'[' => others += 1,
            b')' | b']' => others = others.saturating_sub(1),
            b';' if braces == 0 && others == 0 => return start + offset + 1,
            _ => {}
        }
    }
    code.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words_of(code: &str) -> Vec<&str> {
        words(code).map(|(_, word)| word).collect()
    }

    #[test]
    fn words_in_comments_strings_and_characters_are_no_code() {
        let text = r##"a /* x /* y */ z */ "b \" c" d // e
            'f' '\'' '\u{7f}' r#"g " h"# br"i" j<'k> b"l" 'ß' m"##;
        let code = code_only(text);
        assert_eq!(words_of(&code), ["a", "d", "j", "k", "b", "m"]);
        assert_eq!(code.len(), text.len());
        assert_eq!(line_of(&code, code.find('m').unwrap()), 2);
    }

    #[test]
    fn only_modules_in_files_of_their_own_are_named_as_tests() {
        let code = "#[cfg(test)]\nmod a;\n#[cfg(test)]\nmod b { fn c() { d; } }\nmod e;\n\
                    #[cfg(test)]\npub(crate) mod f;\n#[cfg(test)]\nuse g::h;\n";
        assert_eq!(test_modules(code).collect::<Vec<_>>(), ["a", "f"]);
    }

    #[test]
    fn items_for_tests_are_no_shipped_code() {
        let code = "a\n#[cfg(test)]\nmod tests { fn x() { y } }\nb\n#[cfg(test)] use c::{d};\ne";
        assert_eq!(words_of(&without_tests(code)), ["a", "b", "e"]);
        assert_eq!(line_of(&without_tests(code), without_tests(code).find('b').unwrap()), 4);
    }
}
