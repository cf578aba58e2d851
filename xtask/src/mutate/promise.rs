//! The promises of layer 4: the rows of `docs/layer4.md`.

use super::test_name::TestName;

/// Where they are written.
pub(crate) const DOCUMENT: &str = "docs/layer4.md";

/// The header of each of their tables.
const HEADER: [&str; 3] = ["row", "promise", "proven by"];

/// One row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Promise {
    /// In the document, from 1.
    pub(crate) line: usize,
    /// `1.1-wrr-exact`
    pub(crate) row: String,
    /// What proves it.
    pub(crate) proof: Proof,
}

/// What stands in the third cell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Proof {
    /// Tests, all of which must exist.
    Tests(Vec<TestName>),
    /// Nothing yet: whoever builds it fills the row in.
    Pending,
    /// `not built: why`.
    NotBuilt,
    /// `not tested: why`.
    NotTested,
}

/// Something that a row has wrong: its line, from 1, and what.
pub(crate) type Fault = (usize, String);

/// Reads all tables of the document.
///
/// # Errors
/// All that is wrong with its rows.
pub(crate) fn read(text: &str) -> Result<Vec<Promise>, Vec<Fault>> {
    let (mut promises, mut faults) = (Vec::<Promise>::new(), Vec::new());
    let mut in_table = false;
    for (number, line) in (1..).zip(text.lines()) {
        let Some(cells) = cells(line) else {
            in_table = false;
            continue;
        };
        if !in_table {
            in_table = cells == HEADER;
            continue;
        }
        if cells.iter().all(|cell| cell.trim_matches([':', '-']).is_empty()) {
            continue;
        }
        match promise(number, &cells) {
            Ok(promise) => match promises.iter().find(|other| other.row == promise.row) {
                Some(other) => {
                    let what =
                        format!("row `{}` stands in line {} already", promise.row, other.line);
                    faults.push((number, what));
                }
                None => promises.push(promise),
            },
            Err(what) => faults.push((number, what)),
        }
    }
    if promises.is_empty() && faults.is_empty() {
        faults.push((1, format!("no table `| {} |` with a row in it", HEADER.join(" | "))));
    }
    if faults.is_empty() { Ok(promises) } else { Err(faults) }
}

fn cells(line: &str) -> Option<Vec<&str>> {
    let inner = line.trim().strip_prefix('|')?.strip_suffix('|')?;
    Some(inner.split('|').map(str::trim).collect())
}

fn promise(line: usize, cells: &[&str]) -> Result<Promise, String> {
    let [row, promised, proof] = cells else {
        return Err(format!("{} cells; a row has three: row, promise, proven by", cells.len()));
    };
    let row = row.strip_prefix('`').and_then(|row| row.strip_suffix('`')).unwrap_or_default();
    if row.is_empty() || row.contains([' ', '`']) {
        return Err("the first cell is not one name in backticks".to_owned());
    }
    if promised.is_empty() {
        return Err(format!("row `{row}` promises nothing"));
    }
    let proof = self::proof(proof).map_err(|what| format!("row `{row}`: {what}"))?;
    Ok(Promise { line, row: row.to_owned(), proof })
}

fn proof(cell: &str) -> Result<Proof, String> {
    let has_reason =
        |mark: &str| cell.strip_prefix(mark).is_some_and(|rest| !rest.trim().is_empty());
    if cell == "pending" {
        return Ok(Proof::Pending);
    }
    if has_reason("not built:") {
        return Ok(Proof::NotBuilt);
    }
    if has_reason("not tested:") {
        return Ok(Proof::NotTested);
    }
    let quoted = cell.split('`').skip(1).step_by(2);
    let tests = quoted
        .map(|text| {
            let name = TestName::parse(text);
            name.ok_or_else(|| format!("`{text}` is no test; one is written `suite::name`"))
        })
        .collect::<Result<Vec<_>, _>>()?;
    let around: String = cell.split('`').step_by(2).collect();
    if !around.chars().all(|c| c == ',' || c.is_whitespace()) {
        let hint = "tests in backticks, or `pending`, `not built: why`, `not tested: why`";
        return Err(format!("`{}` is not understood; the third cell is {hint}", around.trim()));
    }
    if tests.is_empty() {
        return Err("no test is named, and it is not marked as having none".to_owned());
    }
    Ok(Proof::Tests(tests))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "| row | promise | proven by |\n|---|---|---|\n";

    fn only_fault(row: &str) -> String {
        let faults = read(&format!("{HEAD}{row}\n")).unwrap_err();
        assert_eq!((faults.len(), faults[0].0), (1, 3), "{faults:?}");
        faults[0].1.clone()
    }

    #[test]
    fn rows_of_all_tables_are_read_and_other_tables_are_not() {
        let text = format!(
            "# x\n\n| a | b |\n|---|---|\n| c | d |\n\n{HEAD}| `a` | x | `lab::a`, `ebpf::b` |\n\n\
             {HEAD}| `b` | x | pending |\n| `c` | x | not built: why |\n\
             | `d` | x | not tested: why |\n"
        );
        let promises = read(&text).unwrap();
        let rows: Vec<_> = promises.iter().map(|one| (one.line, one.row.as_str())).collect();
        assert_eq!(rows, [(9, "a"), (13, "b"), (14, "c"), (15, "d")]);
        let tests = ["lab::a", "ebpf::b"].map(|text| TestName::parse(text).unwrap());
        assert_eq!(promises[0].proof, Proof::Tests(tests.to_vec()));
        let others: Vec<_> = promises[1..].iter().map(|one| one.proof.clone()).collect();
        assert_eq!(others, [Proof::Pending, Proof::NotBuilt, Proof::NotTested]);
    }

    #[test]
    fn a_broken_row_is_told_with_what_would_be_right() {
        assert!(only_fault("| `a` | x |").contains("2 cells; a row has three"));
        assert!(only_fault("| a | x | pending |").contains("one name in backticks"));
        assert!(only_fault("| `a` |  | pending |").contains("promises nothing"));
        assert!(only_fault("| `a` | x | |").contains("no test is named"));
        assert!(only_fault("| `a` | x | later |").contains("`later` is not understood"));
        assert!(only_fault("| `a` | x | not built: |").contains("not understood"));
        assert!(only_fault("| `a` | x | `lab.rs` |").contains("written `suite::name`"));
        assert!(
            only_fault("| `a` | x | pending `lab::a` |").contains("`pending` is not understood")
        );
    }

    #[test]
    fn a_row_that_stands_twice_is_told_and_so_is_a_document_without_any() {
        let faults = read(&format!("{HEAD}| `a` | x | pending |\n| `a` | y | pending |\n"));
        assert_eq!(faults.unwrap_err(), [(4, "row `a` stands in line 3 already".to_owned())]);
        assert!(read("# nothing\n").unwrap_err()[0].1.contains("no table"));
    }
}
