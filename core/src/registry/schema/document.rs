//! What is read from a document besides its validity: its extent, and pointers fit to be shown.

use std::collections::HashSet;

use jsonschema::json::{Array, Json, Jsonb, JsonbNode, Node, Object};

/// Stands for the name of a property that the schema does not mention.
const HIDDEN: &str = "*";

/// The number of values in a document and its depth in nested arrays and objects.
pub(super) fn extent(root: JsonbNode<'_>) -> (u64, u32) {
    let mut values = 0;
    let mut deepest = 0;
    let mut waiting = vec![(root, 0_u32)];
    while let Some((node, depth)) = waiting.pop() {
        values += 1;
        if let Some(array) = node.as_array() {
            waiting.extend(array.elements().map(|element| (element, depth + 1)));
        } else if let Some(object) = node.as_object() {
            waiting.extend(object.members().map(|(_, member)| (member, depth + 1)));
        } else {
            continue;
        }
        deepest = deepest.max(depth + 1);
    }
    (values, deepest)
}

/// The pointer with every property name replaced by `*` that is not in `known`. A name that only
/// the document has is payload, whatever it looks like; an index of an array is not.
pub(super) fn shown_pointer(root: JsonbNode<'_>, pointer: &str, known: &HashSet<String>) -> String {
    let mut shown = String::new();
    let mut at = Some(root);
    for token in pointer.split('/').skip(1) {
        let name = token.replace("~1", "/").replace("~0", "~");
        let is_item = at.as_ref().is_some_and(|node| node.as_array().is_some());
        at = at.and_then(|node| child(node, &name));
        shown.push('/');
        shown.push_str(if is_item || known.contains(&name) {
            token
        } else {
            HIDDEN
        });
    }
    shown
}

fn child<'a>(node: JsonbNode<'a>, name: &str) -> Option<JsonbNode<'a>> {
    match (node.as_array(), node.as_object()) {
        (Some(array), _) => array.elements().nth(name.parse().ok()?),
        (_, Some(object)) => object.get(&Jsonb::prepare_key(name)),
        _ => None,
    }
}
