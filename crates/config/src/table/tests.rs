use std::cell::RefCell;
use std::collections::BTreeSet;

use super::*;
use crate::environment::Environment;
use crate::metrics::MetricsConfig;
use crate::process::ProcessConfig;
use crate::section::Source;
use crate::settings::Settings;
use crate::value::Value;

const DIALECTS: [Dialect; 2] = [Dialect::Norn, Dialect::Mimir];

#[test]
fn every_default_has_the_type_of_its_setting_and_fits_the_model() {
    for dialect in DIALECTS {
        let settings = Settings::defaults(dialect, &Environment::default());
        MetricsConfig::from_settings(&settings).unwrap();
        for (index, setting) in dialect.table().settings().iter().enumerate() {
            assert_eq!(settings.get(index) == &Value::Absent, setting.default.is_none(), "{}", setting.path);
        }
    }
}

#[test]
fn no_documented_setting_is_missing_and_no_section_is_a_setting() {
    assert_eq!(rows(MIMIR_SETTINGS).count(), 1757);
    for dialect in DIALECTS {
        let table = dialect.table();
        for setting in table.settings() {
            assert!(!table.is_section(setting.path), "{} is a setting and a section", setting.path);
        }
    }
}

/// Settings that write down what is read of them.
struct Recorder {
    settings: Settings,
    read: RefCell<BTreeSet<String>>,
}

impl Source for Recorder {
    fn value(&self, path: &str) -> Option<&Value> {
        self.read.borrow_mut().insert(path.to_owned());
        self.settings.value(path)
    }
}

#[test]
fn the_model_reads_exactly_the_settings_that_have_an_effect() {
    let settings = Settings::defaults(Dialect::Norn, &Environment::default());
    let recorder = Recorder { settings, read: RefCell::default() };
    MetricsConfig::from_settings(&recorder).unwrap();
    ProcessConfig::from_settings(&recorder).unwrap();
    let read = recorder.read.into_inner();
    let mut effect = BTreeSet::new();
    for setting in Dialect::Norn.table().settings() {
        if let Coverage::Effect(field) = setting.coverage {
            effect.insert(field.to_owned());
        }
    }
    assert_eq!(effect.difference(&read).collect::<Vec<_>>(), Vec::<&String>::new(), "in the table, but not read");
    assert_eq!(read.difference(&effect).collect::<Vec<_>>(), Vec::<&String>::new(), "read, but not in the table");
}

#[test]
fn sections_know_their_keys() {
    let table = Dialect::Mimir.table();
    let children: BTreeSet<&str> = table.children("blocks_storage").collect();
    let expected = ["azure", "backend", "bucket_store", "filesystem", "gcs", "s3", "storage_prefix", "swift", "tsdb"];
    assert_eq!(children, BTreeSet::from(expected));
    assert!(table.is_section("blocks_storage.tsdb"));
    assert!(!table.is_section("blocks_storage.tsdb.dir"));
    assert!(!table.is_section("blocks_storage.ts"));
}

/// What the documentation writes differently: `[]` for what the original fills in after reading its flags, an object
/// for a URL, and an integer for a text.
const DOCUMENTED_DIFFERENTLY: [&str; 4] =
    ["compactor.block_ranges", "ruler.external_url", "alertmanager.external_url", "limits.name_validation_scheme"];

#[test]
#[ignore = "needs NORN_CONFORMANCE, the folder of the reference material"]
fn the_table_has_every_setting_of_the_reference() {
    let folder =
        std::env::var("NORN_CONFORMANCE").expect("NORN_CONFORMANCE names the folder of the reference material");
    let text = std::fs::read_to_string(format!("{folder}/specs/config/mimir.tsv")).unwrap();
    let ours: Vec<Setting> = rows(MIMIR_SETTINGS).map(Setting::from_row).collect();
    let theirs: Vec<Vec<&str>> =
        text.lines().filter(|line| !line.starts_with('#')).map(|line| line.split('\t').collect()).collect();
    assert_eq!(ours.len(), theirs.len());
    let settings = Settings::defaults(Dialect::Mimir, &Environment::default());
    for (setting, row) in ours.iter().zip(&theirs) {
        assert_eq!(setting.path, row[0]);
        assert_eq!(setting.flag.unwrap_or(""), row[1], "{}", setting.path);
        if DOCUMENTED_DIFFERENTLY.contains(&setting.path) {
            continue;
        }
        let expected = match (setting.kind, row[3]) {
            (_, "") => continue,
            (_, r#""<hostname>""#) => Value::Text("localhost".to_owned()),
            (Kind::Text | Kind::Secret, quoted) => Value::Text(quoted.trim_matches('"').to_owned()),
            (Kind::Duration, nanoseconds) => {
                Value::Duration(crate::value::Span::from_nanoseconds(nanoseconds.parse().unwrap()))
            }
            (kind, "[]" | "{}") => kind.from_flag("").unwrap(),
            (kind, text) => kind.from_flag(text).unwrap(),
        };
        assert_eq!(settings.value(setting.path), Some(&expected), "{}", setting.path);
    }
}
