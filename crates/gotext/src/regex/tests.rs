use super::*;

#[test]
fn go_rejects() {
    let check = |pattern: &str, expected: &str| {
        let error = GoRegex::anchored(pattern).unwrap_err().to_string();
        assert_eq!(error, format!("error parsing regexp: {expected}"), "{pattern}");
        assert_eq!(GoRegex::new(pattern).unwrap_err().to_string(), error);
    };
    check("(", "missing closing ): `(`");
    check("a(b", "missing closing ): `a(b`");
    check("a)", "unexpected ): `a)`");
    check("[a", "missing closing ]: `[a`");
    check("x[]a", "missing closing ]: `[]a`");
    check("[b-a]", "invalid character class range: `b-a`");
    check("[[:foo:]]", "invalid character class range: `[:foo:]`");
    check(r"\p{Foo}", r"invalid character class range: `\p{Foo}`");
    check(r"\p{alphabetic}", r"invalid character class range: `\p{alphabetic}`");
    check(r"\p{Grek}", r"invalid character class range: `\p{Grek}`");
    check(r"\p{gc=L}", r"invalid character class range: `\p{gc=L}`");
    check(r"\p{}", r"invalid character class range: `\p{}`");
    check(r"\Q\E*", "missing argument to repetition operator: `*`");
    check("(?:[a-z]{4}){0,251}", "invalid repeat count: `{0,251}`");
    check(r"\pX", r"invalid character class range: `\pX`");
    check(r"\p{L", r"invalid character class range: `\p{L`");
    check(r"\p", r"invalid character class range: `\p`");
    check("a**", "invalid nested repetition operator: `**`");
    check("a*?+", "invalid nested repetition operator: `*?+`");
    check("a{2}{3}", "invalid nested repetition operator: `{2}{3}`");
    check("*a", "missing argument to repetition operator: `*`");
    check("a|+?", "missing argument to repetition operator: `+?`");
    check("(?:*)", "missing argument to repetition operator: `*`");
    check("a{2,1}", "invalid repeat count: `{2,1}`");
    check("a{1001}", "invalid repeat count: `{1001}`");
    check("a{99999999999}", "invalid repeat count: `{99999999999}`");
    check("(a{100}){11}", "invalid repeat count: `{11}`");
    check(r"a\", "trailing backslash at end of expression: ``");
    check(r"\8", r"invalid escape sequence: `\8`");
    check(r"\1", r"invalid escape sequence: `\1`");
    check(r"\e", r"invalid escape sequence: `\e`");
    check(r"\C", r"invalid escape sequence: `\C`");
    check(r"\x4", r"invalid escape sequence: `\x4`");
    check(r"\xg1", r"invalid escape sequence: `\xg1`");
    check(r"\x{110000}", r"invalid escape sequence: `\x{110000`");
    check(r"\x{}", r"invalid escape sequence: `\x{}`");
    check(r"[\b]", r"invalid escape sequence: `\b`");
    check("(?x)a", "invalid or unsupported Perl syntax: `(?x`");
    check("(?i-)", "invalid or unsupported Perl syntax: `(?i-)`");
    check("(?=a)", "invalid or unsupported Perl syntax: `(?=`");
    check("(?!a)", "invalid or unsupported Perl syntax: `(?!`");
    check("(?P=n)", "invalid or unsupported Perl syntax: `(?P`");
    check("(?<n", "invalid named capture: `(?<n`");
    check("(?P<a-b>x)", "invalid named capture: `(?P<a-b>`");
    check(&"(".repeat(300), &format!("expression nests too deeply: `{}`", "(".repeat(300)));
    check(r"(((\pL{10}){10}){10}\pL{1000}){1}\pL{1000}\pL{1000}", {
        r"expression too large: `(((\pL{10}){10}){10}\pL{1000}){1}\pL{1000}\pL{1000}`"
    });
}

#[test]
fn matches_as_go_does() {
    let check = |pattern: &str, matching: &[&str], others: &[&str]| {
        let regex = GoRegex::anchored(pattern).unwrap();
        for text in matching {
            assert!(regex.is_match(text), "{pattern} matches {text:?}: {regex:?}");
            assert!(text.starts_with(regex.prefix()), "{pattern} has prefix {:?}", regex.prefix());
        }
        for text in others {
            assert!(!regex.is_match(text), "{pattern} does not match {text:?}: {regex:?}");
        }
    };
    check("{", &["{"], &[""]);
    check("a{2", &["a{2"], &["aa"]);
    check("a{,2}", &["a{,2}"], &["aa"]);
    check("a{02}", &["a{02}"], &["aa"]);
    check("x{2,}y{0}", &["xx", "xxx"], &["x", "xxy"]);
    check(r"\Qa.b*\Ec", &["a.b*c"], &["axb*c"]);
    check(r"\Q\\E", &[r"\"], &[""]);
    check(r"\101\0\x41\x{1F600}", &["A\0A😀"], &[]);
    check("[a[b]", &["a", "[", "b"], &["]"]);
    check(r"[\d-z]", &["5", "-", "z"], &["a"]);
    check("[a&&b]", &["a", "&", "b"], &["c"]);
    check("[]a]", &["]", "a"], &["[]a]"]);
    check("[^]a]", &["b", "\n"], &["]", "a"]);
    check("[a-]", &["a", "-"], &["b"]);
    check("[[:alpha:]_[:^alnum:]]", &["a", "_", "é"], &["1"]);
    check("[[:alpha]", &["[", ":", "l"], &["z"]);
    check(r"\d\w\s", &["1a "], &["١a ", "1é ", "1a\u{b}"]);
    check(r"a\b.", &["a "], &["ab"]);
    check(r"aé\B.", &["aé!"], &[]);
    check(r"\<a\>", &["<a>"], &["a"]);
    check(r"\-\_\/", &["-_/"], &[]);
    check("(?i)straße|k", &["STRAßE", "K", "\u{212a}"], &["strasse"]);
    check("(?i:a)b", &["Ab", "ab"], &["aB"]);
    check("a(?i)b|c", &["aB", "C"], &["Ab"]);
    check("(a(?i)b)c", &["aBc"], &["aBC"]);
    check("(?i-s)a.", &["Ab"], &["a\n"]);
    check("(?U)a+", &["aaa"], &[]);
    check("a.b", &["a\nb", "aéb"], &["ab"]);
    check(r"\pL\p{Greek}\P{^Lu}\p{Any}", &["aαA!"], &["aaA!"]);
    check(r"\p{upper case-let ter}\p{thai}\p{Assigned}\p{ASCII}\pn", &["Aกa!1"], &["aกa!1", "Aก\u{378}!1"]);
    check(r"\p{Yi}\p{Canadian_Aboriginal}", &["ꀀᐁ"], &[]);
    check("(?:[a-z]{4}){0,250}", &["", "abcd"], &["abc"]);
    check("(?m)^a$", &["a"], &["a\n", "a\nb"]);
    check("^a$|^b$", &["a", "b"], &["ab"]);
    check(r"\Aa\z", &["a"], &["a\n"]);
    check("a$b", &[], &["ab", "a$b", "a\nb"]);
    check("(?P<x>a)(?<y>b)", &["ab"], &[]);
    check("", &[""], &["a"]);
    check("()|(?:)", &[""], &["a"]);
    check(r"[^\x00-\x{10FFFF}]", &[], &["", "a"]);
    check(r"\x{d800}|a", &["a"], &["\u{fffd}"]);
}

#[test]
fn simple_patterns_need_no_engine() {
    let check = |pattern: &str, matching: &[&str], others: &[&str]| {
        let regex = GoRegex::anchored(pattern).unwrap();
        assert!(!matches!(regex.shape, Shape::Program), "{pattern}");
        let engine = compile(&regex.hir).unwrap();
        for text in matching {
            assert!(regex.is_match(text) && engine.is_match(text), "{pattern} matches {text:?}: {regex:?}");
        }
        for text in others {
            assert!(!regex.is_match(text) && !engine.is_match(text), "{pattern} does not match {text:?}: {regex:?}");
        }
    };
    check(".*", &["", "a\nb"], &[]);
    check(".+", &["a", "é"], &[""]);
    check("api-.*", &["api-", "api-1"], &["api", "xapi-"]);
    check("api-.+", &["api-1", "api-é"], &["api-"]);
    check(".*error.*", &["error", "an error!"], &["errr"]);
    check(".*error", &["error", "an error"], &["error!"]);
    check(".+error.+", &["xerrory"], &["error", "xerror", "errory"]);
    check("a.*b.*b", &["abb", "axbxb"], &["ab", "abx"]);
    check("a.*.*b.*(c)", &["abc", "axbxc"], &["ac", "abcd"]);
    check("ab.*ba", &["abba"], &["aba"]);
    check("^(?:a|b[12])$", &["a", "b1", "b2"], &["b", "b3"]);
}

#[test]
fn literals_and_prefixes() {
    let check = |pattern: &str, literals: Option<&[&str]>, prefix: &str| {
        let regex = GoRegex::anchored(pattern).unwrap();
        let found = regex.literal_alternatives().map(|literals| literals.iter().map(String::as_str).collect());
        assert_eq!(found, literals.map(<[&str]>::to_vec), "{pattern}");
        assert_eq!(regex.prefix(), prefix, "{pattern}");
    };
    check("foo", Some(&["foo"]), "foo");
    check("foo|bar|foo", Some(&["bar", "foo"]), "");
    check("api-(read|write)-[12]", Some(&["api-read-1", "api-read-2", "api-write-1", "api-write-2"]), "api-");
    check("(?i)ab", Some(&["AB", "Ab", "aB", "ab"]), "");
    check("a?", Some(&["", "a"]), "");
    check("", Some(&[""]), "");
    check("é|è", Some(&["è", "é"]), "");
    check("^foo$", Some(&["foo"]), "foo");
    check(r"a\bb", None, "ab");
    check("foo.*", None, "foo");
    check("foo[a-z]+", None, "foo");
    check("(foo|fox).*", None, "fo");
    check(".*foo", None, "");
    let many: Vec<String> = (0..500).map(|index| format!("host-{index:04}-example")).collect();
    let regex = GoRegex::anchored(&many.join("|")).unwrap();
    assert_eq!(regex.literal_alternatives(), Some(&many[..]));
    assert_eq!(regex.prefix(), "host-0");
}

#[test]
fn templates_are_filled_in() {
    let check = |pattern: &str, text: &str, template: &str, expected: Option<&str>| {
        let regex = GoRegex::anchored(pattern).unwrap();
        assert_eq!(regex.expand(text, template).as_deref(), expected, "{pattern} {text} {template}");
    };
    check("(.*)-(?P<n>.*)", "a-b", "$2$1 ${n}-$n ${1}x $1x", Some("ba b-b ax "));
    check("(a)|b", "b", "[$1][$0][$9]", Some("[][b][]"));
    check("a", "a", "$$1 $ ${ ${} $-", Some("$1 $ ${ ${} $-"));
    check("a", "b", "x", None);
    check("(a)", "a", "$01$1é", Some(""));
    // Go takes a name twice.
    check("(?P<n>.*):(?P<n>.*)", "a:b", "${n}-$2", Some("a-b"));
}

#[test]
fn unanchored_patterns_match_anywhere() {
    let regex = GoRegex::new("b.d").unwrap();
    assert!(regex.is_match("abcde"));
    assert!(!regex.is_match("b\nd"));
    assert_eq!(regex.prefix(), "");
    assert_eq!(regex.literal_alternatives(), None);
}

proptest::proptest! {
    #[test]
    fn no_pattern_panics(pattern in PATTERN, text in "[ab\n-{é]{0,8}") {
        for regex in [GoRegex::new(&pattern), GoRegex::anchored(&pattern)].into_iter().flatten() {
            let matches = regex.is_match(&text);
            assert_eq!(regex.expand(&text, "$0 ${1").is_some(), matches, "{pattern:?} {text:?}");
            let listed = regex.literal_alternatives().map(|literals| literals.contains(&text));
            assert!(listed.is_none_or(|listed| listed == matches), "{pattern:?} {text:?}");
            assert!(!matches || text.starts_with(regex.prefix()), "{pattern:?} {text:?}");
        }
    }
}

/// Mostly what means something.
const PATTERN: &str =
    r"([ab]|[\\\[\]()|*+?{}^$.:,-]|\\[dDsSwWbBAzQExpP0-9]|\[\^?|\(\?[imsU-]*:?|\{[0-9],?[0-9]?\}|é|\PC){0,12}";
