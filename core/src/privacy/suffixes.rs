//! A set of names that is matched against the end of a key, whatever its spelling.

/// The start and the value of a name that ends a key.
pub(super) struct Match<'a, T> {
    /// Where the name begins in the key, in bytes.
    pub(super) start: usize,
    pub(super) value: &'a T,
}

/// Names in a tree that is walked from the last letter to the first.
///
/// Case is ignored (ASCII) and so is every ASCII byte that is no letter or digit: `access_token`,
/// `accessToken`, `ACCESS-TOKEN` and `access token` are one name.
#[derive(Debug)]
pub(super) struct Suffixes<T> {
    nodes: Vec<Node<T>>,
    /// The child of the root for every byte, 0 for none: most keys end their walk here.
    roots: [u16; 256],
}

#[derive(Debug)]
struct Node<T> {
    letter: u8,
    value: Option<T>,
    first_child: u16,
    next_sibling: u16,
}

/// The tree has as many nodes as its indexes can tell apart.
#[derive(Debug)]
pub(super) struct Full;

impl<T> Suffixes<T> {
    pub(super) fn new() -> Self {
        let root = Node {
            letter: 0,
            value: None,
            first_child: 0,
            next_sibling: 0,
        };
        Self {
            nodes: vec![root],
            roots: [0; 256],
        }
    }

    /// Adds a name; a name added twice has the later value. Says whether it has any letter.
    pub(super) fn insert(&mut self, name: &str, value: T) -> Result<bool, Full> {
        let mut current = 0;
        for (_, letter) in letters(name) {
            current = match self.child(current, letter) {
                0 => self.add_child(current, letter)?,
                child => child,
            };
        }
        if let Some(node) = self.nodes.get_mut(usize::from(current)) {
            node.value = Some(value);
        }
        Ok(current != 0)
    }

    /// The names that end `key`, from the shortest to the longest.
    pub(super) fn matches<'a>(&'a self, key: &'a str) -> impl Iterator<Item = Match<'a, T>> {
        let mut current = 0;
        let nodes = letters(key).map_while(move |(start, letter)| {
            current = self.child(current, letter);
            (current != 0).then_some((start, current))
        });
        nodes.filter_map(|(start, index)| {
            let value = self.nodes.get(usize::from(index))?.value.as_ref()?;
            Some(Match { start, value })
        })
    }

    fn child(&self, parent: u16, letter: u8) -> u16 {
        if parent == 0 {
            return self.roots.get(usize::from(letter)).copied().unwrap_or(0);
        }
        let mut index = self
            .nodes
            .get(usize::from(parent))
            .map_or(0, |node| node.first_child);
        while let Some(node) = self.nodes.get(usize::from(index)).filter(|_| index != 0) {
            if node.letter == letter {
                return index;
            }
            index = node.next_sibling;
        }
        0
    }

    fn add_child(&mut self, parent: u16, letter: u8) -> Result<u16, Full> {
        let index = u16::try_from(self.nodes.len()).map_err(|_| Full)?;
        let next_sibling = match self.nodes.get_mut(usize::from(parent)) {
            Some(node) => std::mem::replace(&mut node.first_child, index),
            None => 0,
        };
        self.nodes.push(Node {
            letter,
            value: None,
            first_child: 0,
            next_sibling,
        });
        if parent == 0
            && let Some(root) = self.roots.get_mut(usize::from(letter))
        {
            *root = index;
        }
        Ok(index)
    }
}

/// The letters and digits of a name from the last to the first, in lower case, with their places.
fn letters(name: &str) -> impl Iterator<Item = (usize, u8)> {
    let counts = |byte: u8| byte.is_ascii_alphanumeric() || !byte.is_ascii();
    let bytes = name.bytes().enumerate().rev();
    bytes
        .filter(move |(_, byte)| counts(*byte))
        .map(|(at, byte)| (at, byte.to_ascii_lowercase()))
}
