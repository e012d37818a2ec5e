//! What the command line asks for: to serve in one of the dialects, or one of the tools.

use std::path::Path;

use norn_config::table::Dialect;

/// Names of systems whose flags and files norn takes, when it is called by them or told so first.
const DIALECTS: [&str; 3] = ["mimir", "loki", "tempo"];

/// What to do.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Invocation {
    /// `norn config …`
    Config(Vec<String>),
    /// `norn promql …`
    Promql(Vec<String>),
    /// Run roles.
    Serve {
        /// Whose flags and files.
        dialect: Dialect,
        /// What follows.
        arguments: Vec<String>,
    },
    /// Something that this version does not have.
    Later(String),
}

impl Invocation {
    /// Reads the program's name and its arguments. A dialect is chosen by the first argument, or by the name under which
    /// the program was called.
    pub(crate) fn of(arguments: &[String]) -> Self {
        let (called, rest) = arguments.split_first().map_or(("norn", &[][..]), |(first, rest)| (first.as_str(), rest));
        let called = Path::new(called).file_name().map_or("norn".into(), |name| name.to_string_lossy());
        let (word, rest) = match rest.split_first() {
            _ if DIALECTS.contains(&called.as_ref()) => (called.as_ref(), rest),
            Some((first, after)) if !first.starts_with('-') => (first.as_str(), after),
            _ => ("norn", rest),
        };
        let arguments = rest.to_vec();
        match word {
            "config" => Self::Config(arguments),
            "promql" => Self::Promql(arguments),
            "mimir" => Self::Serve { dialect: Dialect::Mimir, arguments },
            "loki" | "tempo" => Self::Later(format!(
                "norn {word}: this version runs metrics only; logs and traces come with a later one"
            )),
            "norn" => Self::Serve { dialect: Dialect::Norn, arguments },
            other => {
                Self::Later(format!("norn {other}: there is no such command; use config, promql, mimir, or flags"))
            }
        }
    }
}

/// The answer to `-version`.
pub(crate) fn version() -> String {
    format!("norn, version {}\n", env!("CARGO_PKG_VERSION"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_word_or_the_name_chooses() {
        let of = |words: &[&str]| Invocation::of(&words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>());
        let serve = |dialect, arguments: &[&str]| Invocation::Serve {
            dialect,
            arguments: arguments.iter().map(|word| (*word).to_owned()).collect(),
        };
        assert_eq!(of(&["norn"]), serve(Dialect::Norn, &[]));
        assert_eq!(of(&["/bin/norn", "-target=all"]), serve(Dialect::Norn, &["-target=all"]));
        assert_eq!(of(&["norn", "mimir", "-version"]), serve(Dialect::Mimir, &["-version"]));
        assert_eq!(of(&["/bin/mimir", "-version"]), serve(Dialect::Mimir, &["-version"]));
        assert_eq!(of(&["norn-dev", "-target=all"]), serve(Dialect::Norn, &["-target=all"]));
        assert_eq!(of(&["norn-dev", "mimir"]), serve(Dialect::Mimir, &[]));
        assert_eq!(of(&["norn", "config", "coverage"]), Invocation::Config(vec!["coverage".to_owned()]));
        assert!(matches!(of(&["norn", "loki"]), Invocation::Later(_)));
        assert!(matches!(of(&["norn", "serve"]), Invocation::Later(_)));
    }
}
