use proptest::prelude::*;

use super::*;

fn node(content: Content) -> Node {
    Node { place: Place::nowhere(), content }
}

/// Any tree of texts.
fn trees() -> impl Strategy<Value = Node> {
    let leaf = prop_oneof![any::<String>(), "[a-z0-9:# '\"<~.-]{0,6}"];
    let leaf = leaf.prop_map(|text| node(Content::Scalar(Scalar { text, plain: false })));
    leaf.prop_recursive(4, 24, 4, |inner| {
        let sequence = prop::collection::vec(inner.clone(), 0..4).prop_map(|items| node(Content::Sequence(items)));
        let mapping = prop::collection::btree_map("[a-z0-9:# '\"~.-]{1,6}", inner, 0..4).prop_map(|entries| {
            let entry = |(key, node)| Entry { key, place: Place::nowhere(), node };
            node(Content::Mapping(entries.into_iter().map(entry).collect()))
        });
        prop_oneof![sequence, mapping]
    })
}

/// The texts of a tree without regard to quotes, which printing chooses itself.
fn texts(node: &Node) -> String {
    match &node.content {
        Content::Scalar(scalar) => format!("{:?}", scalar.text),
        Content::Sequence(items) => format!("[{}]", items.iter().map(texts).collect::<Vec<_>>().join(",")),
        Content::Mapping(entries) => {
            let entry = |entry: &Entry| format!("{:?}:{}", entry.key, texts(&entry.node));
            format!("{{{}}}", entries.iter().map(entry).collect::<Vec<_>>().join(","))
        }
    }
}

proptest! {
    #[test]
    fn every_tree_reads_back_from_its_print(tree in trees()) {
        let mut printed = String::new();
        print(&tree, 0, &mut printed);
        let read = parse(&printed, "f", "text").map_err(|error| TestCaseError::fail(format!("{error}\n{printed}")))?;
        prop_assert_eq!(texts(&read), texts(&tree), "{}", printed);
    }

    #[test]
    fn no_text_makes_the_parser_panic(text in "[a-z:#&*<>|?!%@`'\"\\[\\]{},~ \\-\n\t0-9]{0,60}") {
        let _ = parse(&text, "f", "text");
        let scalar = Scalar { text: text.clone(), plain: true };
        let _ = (scalar::integer(&scalar), scalar::bytes(&scalar), scalar::float(&scalar), scalar::duration(&text));
    }

    #[test]
    fn durations_read_back_from_their_print(nanoseconds in any::<i64>()) {
        let span = crate::value::Span::from_nanoseconds(nanoseconds);
        // Go reads the least duration only because it counts in the negative.
        prop_assume!(nanoseconds != i64::MIN);
        prop_assert_eq!(scalar::duration(&span.to_string()), Ok(span));
    }
}
