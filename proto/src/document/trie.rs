//! The members a scan looks for, as a tree of names.

/// A place in the tree; the root is 0.
pub(super) type NodeId = usize;

#[derive(Debug, Clone)]
pub(crate) struct Trie {
    nodes: Vec<Node>,
}

#[derive(Debug, Clone, Default)]
struct Node {
    /// In the order of their names.
    children: Vec<(Box<[u8]>, Child)>,
}

/// What is looked for in a member.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Child {
    /// Its own value is looked for.
    pub(super) slot: Option<usize>,
    /// Members of it are looked for.
    pub(super) node: Option<NodeId>,
}

impl Default for Trie {
    fn default() -> Self {
        Self { nodes: vec![Node::default()] }
    }
}

impl Trie {
    pub(super) fn insert(&mut self, tokens: &[String], slot: usize) {
        let Some((last, before)) = tokens.split_last() else { return };
        let mut node = 0;
        for token in before {
            let child = self.child_index(node, token);
            node = match self.nodes[node].children[child].1.node {
                Some(next) => next,
                None => {
                    let next = self.nodes.len();
                    self.nodes.push(Node::default());
                    self.nodes[node].children[child].1.node = Some(next);
                    next
                }
            };
        }
        let child = self.child_index(node, last);
        self.nodes[node].children[child].1.slot = Some(slot);
    }

    /// What is looked for under this name.
    #[inline]
    pub(super) fn find(&self, node: NodeId, name: &[u8]) -> Option<Child> {
        let children = &self.nodes[node].children;
        let found = children.binary_search_by(|(child, _)| (**child).cmp(name)).ok()?;
        Some(children[found].1)
    }

    fn child_index(&mut self, node: NodeId, name: &str) -> usize {
        let children = &mut self.nodes[node].children;
        children.binary_search_by(|(child, _)| (**child).cmp(name.as_bytes())).unwrap_or_else(|at| {
            children.insert(at, (name.as_bytes().into(), Child::default()));
            at
        })
    }
}
