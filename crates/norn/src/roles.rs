//! The table of roles. Targets, their listing, the order of start and stop, and readiness all derive from it.

use norn_base::{Error, Result};
use norn_server::services::Part;

use crate::wiring::Wiring;

/// One role of the distributed system, or a part of the process that every role needs.
pub(crate) struct Role {
    /// Its name, as in `-target` and on `/services`.
    pub(crate) name: &'static str,
    /// Whether `-target` may name it.
    pub(crate) selectable: bool,
    /// What has to run before it, in the same process.
    pub(crate) needs: &'static [&'static str],
    /// Roles that it calls. Until they can be called in other processes they have to be in the same one.
    pub(crate) peers: &'static [&'static str],
    /// How it starts.
    pub(crate) start: fn(&Wiring) -> Part,
}

impl Role {
    /// The part of the process that runs this role: it starts after the roles that it needs and calls.
    pub(crate) fn part(&self, wiring: &Wiring) -> Part {
        let mut part = (self.start)(wiring);
        part.name = self.name;
        part.needs = [self.needs, self.peers].concat();
        part
    }
}

/// All roles, in the order in which they start where their needs leave a choice.
pub(crate) const ROLES: &[Role] = &[
    Role { name: "server", selectable: false, needs: &[], peers: &[], start: Wiring::server },
    Role { name: "runtime-config", selectable: false, needs: &[], peers: &[], start: Wiring::runtime_config },
    Role { name: "ingester", selectable: true, needs: &["runtime-config"], peers: &[], start: Wiring::ingester },
    // Before the store-gateway, which begins with the indexes that the compactor has written.
    Role { name: "compactor", selectable: true, needs: &["runtime-config"], peers: &[], start: Wiring::compactor },
    Role {
        name: "store-gateway",
        selectable: true,
        needs: &["runtime-config"],
        peers: &[],
        start: Wiring::store_gateway,
    },
    Role {
        name: "distributor",
        selectable: true,
        needs: &["runtime-config"],
        peers: &["ingester"],
        start: Wiring::distributor,
    },
    Role {
        name: "querier",
        selectable: true,
        needs: &["runtime-config"],
        peers: &["ingester", "store-gateway"],
        start: Wiring::querier,
    },
    Role { name: "query-scheduler", selectable: true, needs: &[], peers: &["querier"], start: Wiring::query_scheduler },
    Role {
        name: "query-frontend",
        selectable: true,
        needs: &["runtime-config"],
        peers: &["querier", "query-scheduler"],
        start: Wiring::query_frontend,
    },
    Role {
        name: "self-monitoring",
        selectable: false,
        needs: &[],
        peers: &["distributor"],
        start: Wiring::self_monitoring,
    },
];

/// A name for several roles.
pub(crate) struct Group {
    /// The name.
    pub(crate) name: &'static str,
    /// The roles.
    pub(crate) roles: &'static [&'static str],
}

/// All groups.
pub(crate) const GROUPS: &[Group] = &[Group {
    name: "all",
    roles: &["query-frontend", "query-scheduler", "querier", "ingester", "distributor", "store-gateway", "compactor"],
}];

/// Targets that exist in the design and not in this version.
const LATER: &[(&str, &str)] = &[
    ("write", "processes that share the work come with the cluster"),
    ("read", "processes that share the work come with the cluster"),
    ("backend", "processes that share the work come with the cluster"),
    ("memberlist-kv", "processes that share the work come with the cluster"),
    ("ruler", "recording and alerting rules come later"),
    ("alertmanager", "alerting comes later"),
    ("overrides-exporter", "limits as metrics come later"),
    ("block-builder", "needs an ingest log, which comes later"),
    ("block-builder-scheduler", "needs an ingest log, which comes later"),
    ("usage-tracker", "comes later"),
    ("continuous-test", "comes later"),
];

/// The roles that a list of targets starts, with what they need. Fails where a target is unknown, comes later, or calls
/// a role that is not in the list.
pub(crate) fn select(targets: &[String]) -> Result<Vec<&'static Role>> {
    let mut chosen: Vec<&'static str> = vec!["server"];
    for target in targets.iter().map(|target| target.trim()).filter(|target| !target.is_empty()) {
        if let Some(group) = GROUPS.iter().find(|group| group.name == target) {
            chosen.extend(group.roles);
        } else if let Some(role) = ROLES.iter().find(|role| role.name == target) {
            if !role.selectable {
                let text = format!("selected target ({target}) is an internal module, which is not allowed");
                return Err(Error::bad_request(text));
            }
            chosen.push(role.name);
        } else if let Some((name, reason)) = LATER.iter().find(|(name, _)| *name == target) {
            return Err(Error::bad_request(format!("target {name}: not in this version: {reason}")));
        } else {
            return Err(Error::bad_request(format!("unrecognised module name: {target}; -modules lists all targets")));
        }
    }
    if chosen.contains(&"distributor") {
        chosen.push("self-monitoring");
    }
    let mut at = 0;
    while let Some(name) = chosen.get(at).copied() {
        let more = role(name).needs.iter().filter(|need| !chosen.contains(*need)).copied().collect::<Vec<_>>();
        chosen.extend(more);
        at += 1;
    }
    check_peers(&chosen)?;
    Ok(ROLES.iter().filter(|role| chosen.contains(&role.name)).collect())
}

fn check_peers(chosen: &[&'static str]) -> Result<()> {
    for name in chosen {
        let missing: Vec<_> = role(name).peers.iter().filter(|peer| !chosen.contains(*peer)).copied().collect();
        if !missing.is_empty() {
            let text = format!(
                "target {name} calls {}, which has to run in the same process in this version: add it to -target, or use \
                 -target=all",
                missing.join(", ")
            );
            return Err(Error::bad_request(text));
        }
    }
    Ok(())
}

fn role(name: &str) -> &'static Role {
    ROLES.iter().find(|role| role.name == name).expect("the table names only roles that are in it")
}

/// What `-modules` prints: every target, and for a role the groups that it belongs to.
pub(crate) fn listing() -> String {
    let mut lines: Vec<String> = GROUPS.iter().map(|group| group.name.to_owned()).collect();
    for role in ROLES.iter().filter(|role| role.selectable) {
        let groups: Vec<_> =
            GROUPS.iter().filter(|group| group.roles.contains(&role.name)).map(|group| group.name).collect();
        let suffix = if groups.is_empty() { String::new() } else { format!(" (in: {})", groups.join(", ")) };
        lines.push(format!("{}{suffix}", role.name));
    }
    lines.sort();
    lines.join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(targets: &[&str]) -> Result<Vec<&'static str>, String> {
        let targets: Vec<String> = targets.iter().map(|target| (*target).to_owned()).collect();
        let selected = select(&targets).map_err(|error| error.message().to_owned())?;
        Ok(selected.iter().map(|role| role.name).collect())
    }

    #[test]
    fn targets_bring_what_they_need() {
        assert_eq!(names(&["all"]).unwrap().len(), ROLES.len());
        assert_eq!(names(&["compactor"]).unwrap(), ["server", "runtime-config", "compactor"]);
        let parts = ["distributor", "ingester", "querier", "query-frontend", "query-scheduler", "store-gateway"];
        assert!(names(&parts).unwrap().contains(&"self-monitoring"));
    }

    #[test]
    fn targets_that_cannot_run_say_why() {
        let check = |target: &str, expected: &str| {
            let message = names(&[target]).unwrap_err();
            assert!(message.contains(expected), "{message}");
        };
        check("alertmanager", "alertmanager");
        check("server", "internal module");
        check("distributer", "unrecognised module name: distributer");
        check("distributor", "ingester, which has to run in the same process");
    }

    #[test]
    fn the_table_is_whole() {
        for role in ROLES {
            for name in role.needs.iter().chain(role.peers) {
                assert!(ROLES.iter().any(|role| role.name == *name), "{} names {name}", role.name);
            }
        }
        for name in GROUPS.iter().flat_map(|group| group.roles) {
            assert!(role(name).selectable);
        }
    }
}
