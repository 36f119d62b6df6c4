//! Laying out a finished tape.

use std::mem;

use super::super::layout::{
    ARRAY_FLAG, CONTAINER, COUNT_MASK, LENGTH_MASK, NUMERIC, OBJECT_FLAG, OFFSET_FLAG,
    OFFSET_STRIDE, SCALAR_FLAG, STRING, align, compare_keys,
};
use super::{BuildError, Builder, Content, Node, bytes_of};

impl Builder {
    pub(super) fn write_root(&mut self, out: &mut Vec<u8>) -> Result<(), BuildError> {
        if let Some(failure) = self.failure {
            return Err(failure);
        }
        let root = self
            .tape
            .first()
            .filter(|_| self.open.is_empty() && self.key.is_none());
        let root = *root.ok_or(BuildError::Incomplete)?;
        // For each value two entries, a header and padding are enough.
        out.reserve(self.data.len() + 16 * self.tape.len() + 16);
        let order = mem::take(&mut self.order);
        let mut pass = Pass {
            builder: self,
            base: out.len(),
            out,
            order,
        };
        let result = pass.write_root(&root);
        self.order = pass.order;
        result
    }
}

struct Pass<'a> {
    builder: &'a Builder,
    out: &'a mut Vec<u8>,
    /// Where the root starts in `out`: padding is counted from there.
    base: usize,
    /// The children, in the order they are laid out, of every container being written.
    order: Vec<u32>,
}

/// The entries of a container that is being laid out.
struct Entries {
    /// Where the next entry stands in the output.
    position: usize,
    index: usize,
    /// The data so far, in bytes.
    total: usize,
}

impl Pass<'_> {
    fn write_root(&mut self, root: &Node) -> Result<(), BuildError> {
        // A copied container and one made of children are both roots as they are.
        let is_scalar = match root.content {
            Content::Bytes { kind, .. } => kind != CONTAINER,
            Content::Children { .. } => false,
        };
        if !is_scalar {
            return self.write_node(0, root).map(drop);
        }
        let mut entries = self.begin_container(ARRAY_FLAG | SCALAR_FLAG, 1, 1)?;
        self.write_child(&mut entries, 0, root)
    }

    /// Writes a value and gives the kind bits of its entry.
    fn write_node(&mut self, index: u32, node: &Node) -> Result<u32, BuildError> {
        match node.content {
            Content::Bytes { kind, span } => {
                if kind == NUMERIC || kind == CONTAINER {
                    self.pad();
                }
                self.out
                    .extend_from_slice(bytes_of(&self.builder.data, span));
                Ok(kind)
            }
            Content::Children {
                is_object,
                is_sorted,
                end,
            } => {
                self.pad();
                let first = self.order.len();
                self.collect_children(index, end);
                if !is_sorted {
                    self.sort_children(first);
                }
                self.write_container(is_object, first)?;
                self.order.truncate(first);
                Ok(CONTAINER)
            }
        }
    }

    fn pad(&mut self) {
        let length = self.out.len() - self.base;
        self.out.resize(self.base + align(length), 0);
    }

    /// Steps from child to child, over their descendants.
    fn collect_children(&mut self, container: u32, end: u32) {
        let mut child = container + 1;
        while child < end {
            self.order.push(child);
            child = match self.node(child).map(|node| node.content) {
                Some(Content::Children { end, .. }) => end,
                _ => child + 1,
            };
        }
    }

    /// Sorts the children from `first` on by key, and keeps the last of equal keys.
    fn sort_children(&mut self, first: usize) {
        let builder = self.builder;
        let key = |index: u32| -> &[u8] {
            let node = builder.tape.get(index as usize);
            node.map_or(&[], |node| bytes_of(&builder.data, node.key))
        };
        let children = self.order.get_mut(first..).unwrap_or_default();
        children.sort_unstable_by(|&left, &right| {
            compare_keys(key(left), key(right)).then(right.cmp(&left))
        });
        if children.is_sorted_by(|&left, &right| key(left) != key(right)) {
            return;
        }
        // Of equal keys the one written last comes first now, and removal keeps the first.
        let mut unique = self.order.split_off(first);
        unique.dedup_by(|later, earlier| key(*later) == key(*earlier));
        self.order.append(&mut unique);
    }

    /// Writes the container whose children are in `order` from `first` on.
    fn write_container(&mut self, is_object: bool, first: usize) -> Result<(), BuildError> {
        let start = self.out.len();
        let count = self.order.len() - first;
        let (flag, entry_count) = if is_object {
            (OBJECT_FLAG, 2 * count)
        } else {
            (ARRAY_FLAG, count)
        };
        let mut entries = self.begin_container(flag, count, entry_count)?;
        if is_object {
            self.each_child(first, count, |pass, _, node| {
                pass.out
                    .extend_from_slice(bytes_of(&pass.builder.data, node.key));
                let length = (node.key.end - node.key.start) as usize;
                entries.write(pass.out, STRING, length)
            })?;
        }
        self.each_child(first, count, |pass, index, node| {
            pass.write_child(&mut entries, index, node)
        })?;
        if self.out.len() - start > LENGTH_MASK as usize {
            return Err(BuildError::TooLarge);
        }
        Ok(())
    }

    fn each_child(
        &mut self,
        first: usize,
        count: usize,
        mut write: impl FnMut(&mut Self, u32, &Node) -> Result<(), BuildError>,
    ) -> Result<(), BuildError> {
        for position in first..first + count {
            let Some(&index) = self.order.get(position) else {
                continue;
            };
            let Some(node) = self.node(index) else {
                continue;
            };
            write(self, index, &node)?;
        }
        Ok(())
    }

    /// Writes the header and makes room for the entries.
    fn begin_container(
        &mut self,
        flags: u32,
        count: usize,
        entry_count: usize,
    ) -> Result<Entries, BuildError> {
        let count = u32::try_from(count)
            .ok()
            .filter(|count| *count <= COUNT_MASK);
        let header = flags | count.ok_or(BuildError::TooLarge)?;
        self.out.extend_from_slice(&header.to_ne_bytes());
        let position = self.out.len();
        self.out.resize(position + 4 * entry_count, 0);
        Ok(Entries {
            position,
            index: 0,
            total: 0,
        })
    }

    fn write_child(
        &mut self,
        entries: &mut Entries,
        index: u32,
        node: &Node,
    ) -> Result<(), BuildError> {
        let start = self.out.len();
        let kind = self.write_node(index, node)?;
        let length = self.out.len() - start;
        entries.write(self.out, kind, length)
    }

    fn node(&self, index: u32) -> Option<Node> {
        self.builder.tape.get(index as usize).copied()
    }
}

impl Entries {
    /// Fills in the next entry, for a child of `length` bytes, padding included.
    fn write(&mut self, out: &mut [u8], kind: u32, length: usize) -> Result<(), BuildError> {
        self.total += length;
        let (flag, field) = match self.index % OFFSET_STRIDE {
            0 => (OFFSET_FLAG, self.total),
            _ => (0, length),
        };
        if self.total > LENGTH_MASK as usize {
            return Err(BuildError::TooLarge);
        }
        let entry = flag | kind | (field as u32 & LENGTH_MASK);
        if let Some(slot) = out
            .get_mut(self.position..)
            .and_then(<[u8]>::first_chunk_mut::<4>)
        {
            *slot = entry.to_ne_bytes();
        }
        self.position += 4;
        self.index += 1;
        Ok(())
    }
}
