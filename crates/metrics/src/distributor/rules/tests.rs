use norn_config::environment::Environment;
use norn_config::limits::OtelTranslation;
use norn_config::metrics::MetricsConfig;
use norn_config::settings::Settings;
use norn_config::table::Dialect;
use parking_lot::Mutex;

use super::*;

fn limits() -> Limits {
    let settings = Settings::defaults(Dialect::Mimir, &Environment::default());
    MetricsConfig::from_settings(&settings).unwrap().limits
}

#[test]
fn defaults_are_those_of_the_original() {
    assert_eq!(WriteRules::new(&limits()), WriteRules::default());
    let pairs = Limits { accept_ha_samples: true, ..limits() };
    assert_eq!(WriteRules::new(&pairs).ha, Some(HaRules::default()));
}

#[test]
fn old_samples_have_the_grace_period_and_the_window() {
    let window = Duration::from_secs(600);
    let check = |past_grace_period, expected| {
        let limits = Limits { past_grace_period, out_of_order_time_window: window, ..limits() };
        assert_eq!(WriteRules::new(&limits).past_max, expected);
    };
    check(Duration::ZERO, None);
    check(Duration::from_secs(3600), Some(Duration::from_secs(4200)));
}

#[test]
fn names_of_otlp_follow_scheme_and_strategy() {
    let check = |scheme, strategy, suffixes, expected: (bool, bool)| {
        let limits = Limits {
            name_validation_scheme: scheme,
            otel_translation_strategy: strategy,
            otel_metric_suffixes_enabled: suffixes,
            ..limits()
        };
        let rules = WriteRules::new(&limits).otlp;
        assert_eq!((rules.escape, rules.suffixes), expected);
    };
    check(NameValidation::Legacy, OtelTranslation::Derived, true, (true, true));
    check(NameValidation::Utf8, OtelTranslation::Derived, false, (false, false));
    check(NameValidation::Utf8, OtelTranslation::UnderscoreEscapingWithoutSuffixes, true, (true, false));
    check(NameValidation::Legacy, OtelTranslation::NoUtf8EscapingWithSuffixes, false, (false, true));
}

#[test]
fn rules_are_derived_again_only_after_a_reload() {
    let current = Arc::new(Mutex::new(Arc::new(limits())));
    let source = current.clone();
    let reloaded = ReloadedRules::new(move |_: &TenantId| source.lock().clone());
    let tenant = TenantId::anonymous();
    let first = reloaded.rules(&tenant);
    assert!(Arc::ptr_eq(&first, &reloaded.rules(&tenant)));
    *current.lock() = Arc::new(Limits { max_label_names_per_series: 7, ..limits() });
    assert_eq!(reloaded.rules(&tenant).labels_max, 7);
}
