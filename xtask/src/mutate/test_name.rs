//! How `docs/layer4.md` and `tests/mutations.toml` name a test: `suite::name`, so that a test may
//! move from file to file inside its suite.

use std::fmt;

/// Suites that are a crate's own tests: name, cargo's package, and where the sources are.
const CRATES: [(&str, &str, &str); 4] = [
    ("common", "slb-common", "slb-common/src"),
    ("ebpf", "slb-ebpf", "slb-ebpf/src"),
    ("userspace", "slb-userspace", "slb-userspace/src"),
    ("tools", "slb-tests", "tests/src"),
];

/// Where the suites are that are test targets of their own: cargo's package, the directory.
const TARGETS: [(&str, &str); 2] =
    [("slb-tests", "tests/tests"), ("slb-userspace", "slb-userspace/tests")];

/// A test by its suite and the name of its function.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct TestName {
    /// `ebpf`, `program`, `lab`...
    pub(crate) suite: String,
    /// `weights_3_2_1_give_300_200_and_100_of_600_connections`
    pub(crate) function: String,
}

/// Where a suite is and how cargo runs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Suite {
    /// Below these paths, relative to the repository, are its sources.
    pub(crate) sources: Vec<String>,
    /// What names it to `cargo test`.
    pub(crate) arguments: Vec<String>,
}

impl TestName {
    /// Reads `suite::name`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let is_name = |part: &str| {
            !part.is_empty()
                && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        };
        let (suite, function) = text.split_once("::")?;
        (is_name(suite) && is_name(function))
            .then(|| Self { suite: suite.to_owned(), function: function.to_owned() })
    }

    /// Finds the suite, given what exists in the repository; `None`: there is none of that name.
    pub(crate) fn suite(&self, exists: impl Fn(&str) -> bool) -> Option<Suite> {
        let suite = &self.suite;
        let own = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect::<Vec<_>>();
        if let Some((_, package, sources)) = CRATES.iter().find(|(name, ..)| name == suite) {
            let arguments = own(&["--package", package, "--lib"]);
            return Some(Suite { sources: own(&[sources]), arguments });
        }
        let sources_in = |directory| {
            [format!("{directory}/{suite}.rs"), format!("{directory}/{suite}")]
                .into_iter()
                .filter(|path| exists(path))
                .collect::<Vec<_>>()
        };
        TARGETS.iter().find_map(|(package, directory)| {
            let sources = sources_in(directory);
            let arguments = own(&["--package", package, "--test", suite]);
            (!sources.is_empty()).then_some(Suite { sources, arguments })
        })
    }
}

impl fmt::Display for TestName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}::{}", self.suite, self.function)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_test_is_named_by_suite_and_function() {
        let name = TestName::parse("lab::a_b_1").unwrap();
        assert_eq!((name.suite.as_str(), name.function.as_str()), ("lab", "a_b_1"));
        for wrong in ["", "lab", "lab::", "::a", "lab::a::b", "lab::a b", "tests/lab.rs::a"] {
            assert_eq!(TestName::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_suite_is_a_crates_own_tests_or_a_target_that_exists() {
        let exists =
            |path: &str| ["tests/tests/lab", "slb-userspace/tests/network.rs"].contains(&path);
        let arguments = |text| {
            let suite = TestName::parse(text).unwrap().suite(exists);
            suite.map(|suite| (suite.arguments.join(" "), suite.sources.join(" ")))
        };
        let some =
            |arguments: &str, sources: &str| Some((arguments.to_owned(), sources.to_owned()));
        assert_eq!(arguments("ebpf::a"), some("--package slb-ebpf --lib", "slb-ebpf/src"));
        let lab = some("--package slb-tests --test lab", "tests/tests/lab");
        assert_eq!(arguments("lab::a"), lab);
        let network = "slb-userspace/tests/network.rs";
        assert_eq!(
            arguments("network::a"),
            some("--package slb-userspace --test network", network)
        );
        assert_eq!(arguments("labs::a"), None);
    }
}
