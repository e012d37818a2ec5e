use super::*;

/// Kinds and texts of all tokens, or the error.
fn lex(text: &str) -> Result<Vec<(TokenKind, &str)>, String> {
    let mut lexer = Lexer::new(text);
    let mut tokens = Vec::new();
    loop {
        let token = lexer.next_token().map_err(|error| error.to_string())?;
        if token.kind == TokenKind::End {
            return Ok(tokens);
        }
        tokens.push((token.kind, token.text(text)));
    }
}

#[test]
fn kinds() {
    use TokenKind::*;
    let check = |text: &str, expected: &[(TokenKind, &str)]| {
        assert_eq!(lex(text).as_deref(), Ok(expected), "{text}");
    };
    check("a:b # comment", &[(MetricIdentifier, "a:b")]);
    check(
        "SUM Inf 0x1F 1_000 5m30s",
        &[
            (Aggregate(crate::tree::AggregateOp::Sum), "SUM"),
            (Number, "Inf"),
            (Number, "0x1F"),
            (Number, "1_000"),
            (Duration, "5m30s"),
        ],
    );
    check(
        "fill fill ()",
        &[(Identifier, "fill"), (Keyword(super::Keyword::Fill), "fill"), (LeftParen, "("), (RightParen, ")")],
    );
    check("{sum!~'a'}", &[(LeftBrace, "{"), (Identifier, "sum"), (NotRegex, "!~"), (String, "'a'"), (RightBrace, "}")]);
    check(
        "[ STEP()+5m:1]",
        &[
            (LeftBracket, "["),
            (Word(super::Word::Step), "STEP"),
            (LeftParen, "("),
            (RightParen, ")"),
            (Operator(BinaryOp::Add), "+"),
            (Duration, "5m"),
            (Colon, ":"),
            (Number, "1"),
            (RightBracket, "]"),
        ],
    );
}

#[test]
fn errors() {
    let check = |text: &str, expected: &str| {
        assert_eq!(lex(text).unwrap_err().replace(" parse error:", ""), expected, "{text}");
    };
    check("up)", "1:4: unexpected right parenthesis ')'");
    check("[:", "1:3: unexpected colon before duration in duration expression");
    check("[5m:1m:", "1:7: unexpected colon ':'");
    check("[5m x", "1:5: unexpected character: 'x', expected ':'");
    check("[foo", "1:2: unexpected character in duration expression: 'f'");
    check("[5m [", "1:5: unexpected left bracket '['");
    check("5mm", "1:1: bad number or duration syntax: \"5mm\"");
    check("0xg", "1:1: bad number or duration syntax: \"0x\"");
    check("1.e", "1:1: bad number or duration syntax: \"1.e\"");
    check("1e", "1:1: bad number or duration syntax: \"1e\"");
    check("!", "1:1: unexpected character after '!': '\u{fffd}'");
    check("a =~ b", "1:3: unexpected character after '=': '~'");
    check("{!x", "1:2: unexpected character after '!' inside braces: 'x'");
    check(r#""\q""#, "1:1: unknown escape sequence U+0071 'q'");
    check(r#""\xg0""#, "1:1: illegal character U+0067 'g' in escape sequence");
    check(r#""\400""#, "1:1: escape sequence is an invalid Unicode code point");
    check(r#""\ud800""#, "1:1: escape sequence is an invalid Unicode code point");
    check("\"\u{fffd}\"", "1:1: invalid UTF-8 rune");
    check("`a", "1:1: unterminated raw string");
    check("'a\n'", "1:1: unterminated quoted string");
}
