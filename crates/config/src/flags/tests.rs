use super::*;
use crate::table::Dialect;

fn parse(arguments: &[&str]) -> Result<CommandLine, String> {
    let arguments: Vec<String> = arguments.iter().map(|argument| (*argument).to_owned()).collect();
    CommandLine::parse(&arguments, Dialect::Mimir.table()).map_err(|error| error.to_string())
}

#[test]
fn flags_have_the_forms_of_go() {
    let check = |arguments: &[&str], expected: &[(&str, &str)]| {
        let line = parse(arguments).unwrap();
        let found: Vec<(&str, &str)> =
            line.settings.iter().map(|flag| (flag.name.as_str(), flag.text.as_str())).collect();
        assert_eq!(found, expected, "{arguments:?}");
    };
    check(&["-target=ingester", "--log.level", "warn"], &[("target", "ingester"), ("log.level", "warn")]);
    check(&["-target="], &[("target", "")]);
    check(&["-target", "-x=y"], &[("target", "-x=y")]);
    check(&["-auth.multitenancy-enabled", "-target=a=b"], &[("auth.multitenancy-enabled", "true"), ("target", "a=b")]);
    check(&["-auth.multitenancy-enabled=false", "--"], &[("auth.multitenancy-enabled", "false")]);
}

#[test]
fn faults_are_told_in_gos_words() {
    let check =
        |arguments: &[&str], expected: &str| assert_eq!(parse(arguments).unwrap_err(), expected, "{arguments:?}");
    check(&["-targt=a"], "flag provided but not defined: -targt (did you mean -target?)");
    check(&["-zzzzzzz"], "flag provided but not defined: -zzzzzzz");
    check(&["-target"], "flag needs an argument: -target");
    check(&["target"], "unexpected argument \"target\": all options begin with a dash");
    check(&["-target=a", "-", "b"], "unexpected argument \"-\": all options begin with a dash");
    check(&["-auth.multitenancy-enabled", "false"], "unexpected argument \"false\": all options begin with a dash");
    check(
        &["-config.expand-env=maybe"],
        "invalid value \"maybe\" for flag -config.expand-env: invalid boolean value \"maybe\"",
    );
}

#[test]
fn flags_that_are_no_settings() {
    let line = parse(&["-config.file=a,b", "-config.expand-env", "-print.config", "-version"]).unwrap();
    assert_eq!((line.config_files.len(), line.expand_environment, line.instead), (2, true, Some(Instead::Version)));
    assert_eq!(parse(&["-version=false"]).unwrap().instead, None);
    let line = parse(&["-mem-ballast-size-bytes", "5", "-query-frontend.results-cache.redis.endpoint=x"]).unwrap();
    let warnings: Vec<&str> = line.warnings.iter().map(|warning| warning.message.as_str()).collect();
    let expected = [
        "-mem-ballast-size-bytes (no effect: there is no Go runtime)",
        "-query-frontend.results-cache.redis.endpoint is not supported any more; there is no Redis cache: use \
         memcached, or remove it",
    ];
    assert_eq!(warnings, expected);
}
