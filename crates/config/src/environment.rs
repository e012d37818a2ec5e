//! What the configuration takes from its surroundings: the host's name, and variables in files.

use std::collections::BTreeMap;

/// The surroundings as a value, so that tests have their own.
#[derive(Debug, Clone)]
pub struct Environment {
    /// The name of this machine, which instances are called by.
    pub hostname: String,
    /// The environment variables.
    pub variables: BTreeMap<String, String>,
}

impl Default for Environment {
    /// A machine called `localhost` without variables.
    fn default() -> Self {
        Self { hostname: "localhost".to_owned(), variables: BTreeMap::new() }
    }
}

impl Environment {
    /// The surroundings of this process. Variables that are not UTF-8 have replacement characters.
    pub fn of_process() -> Self {
        let variables: BTreeMap<String, String> = std::env::vars_os()
            .map(|(name, value)| (name.to_string_lossy().into_owned(), value.to_string_lossy().into_owned()))
            .collect();
        let from_kernel = std::fs::read_to_string("/proc/sys/kernel/hostname").ok();
        let hostname = from_kernel.map(|name| name.trim().to_owned()).filter(|name| !name.is_empty());
        let hostname =
            hostname.or_else(|| variables.get("HOSTNAME").cloned()).unwrap_or_else(|| "localhost".to_owned());
        Self { hostname, variables }
    }

    /// Fills variables into a text: `$NAME`, `${NAME}`, and `${NAME:default}`. One that is not set, or empty, and has
    /// no default, is empty; line breaks within a value are left out.
    ///
    /// A dollar sign cannot be escaped: as in Go's `os.Expand`, `$$` and `$1` are variables too, which are never set.
    /// A dollar sign before anything that is no name stays.
    pub fn expand(&self, text: &str) -> String {
        let mut expanded = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(start) = rest.find('$') {
            expanded.push_str(&rest[..start]);
            let after = &rest[start + 1..];
            match reference(after) {
                Some((reference, length)) => {
                    expanded.push_str(&self.value_of(reference));
                    rest = &after[length..];
                }
                None => {
                    expanded.push('$');
                    rest = after;
                }
            }
        }
        expanded.push_str(rest);
        expanded
    }

    fn value_of(&self, reference: &str) -> String {
        let (name, default) = reference.split_once(':').unwrap_or((reference, ""));
        let value = self.variables.get(name).filter(|value| !value.is_empty());
        value.map_or_else(|| default.to_owned(), |value| value.replace(['\n', '\r'], ""))
    }
}

/// What stands after a dollar sign: the reference, and its length with braces; `None` if it is no reference. A brace
/// that is never closed is a reference to nothing, and so vanishes.
fn reference(after: &str) -> Option<(&str, usize)> {
    if let Some(inner) = after.strip_prefix('{') {
        return Some(inner.find('}').map_or(("", 1), |end| (&inner[..end], end + 2)));
    }
    if after.starts_with(|first: char| first.is_ascii_digit() || "*#$@!?-".contains(first)) {
        return Some((&after[..1], 1));
    }
    let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
    let length = after.bytes().take_while(|byte| is_name(byte)).count();
    (length > 0).then(|| (&after[..length], length))
}

#[cfg(test)]
mod tests;
