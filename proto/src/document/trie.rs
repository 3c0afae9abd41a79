//! The members a scan looks for, as a tree of names.

/// A place in the tree; the root is 0.
pub(super) type NodeId = usize;

#[derive(Debug, Clone)]
pub(crate) struct Trie {
    nodes: Vec<Node>,
}

#[derive(Debug, Clone, Default)]
struct Node {
    children: Vec<Child>,
}

/// What a member with this name is.
#[derive(Debug, Clone)]
pub(super) struct Child {
    name: Box<[u8]>,
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
            node = match self.nodes[node].children[child].node {
                Some(next) => next,
                None => {
                    let next = self.nodes.len();
                    self.nodes.push(Node::default());
                    self.nodes[node].children[child].node = Some(next);
                    next
                }
            };
        }
        let child = self.child_index(node, last);
        self.nodes[node].children[child].slot = Some(slot);
    }

    /// What is looked for under this name. A node has a handful of children, so they are simply compared.
    pub(super) fn find(&self, node: NodeId, name: &[u8]) -> Option<&Child> {
        self.nodes[node].children.iter().find(|child| *child.name == *name)
    }

    /// Whether nothing is looked for at all.
    pub(super) fn is_empty(&self) -> bool {
        self.nodes[0].children.is_empty()
    }

    fn child_index(&mut self, node: NodeId, name: &str) -> usize {
        let children = &mut self.nodes[node].children;
        children.iter().position(|child| *child.name == *name.as_bytes()).unwrap_or_else(|| {
            children.push(Child { name: name.as_bytes().into(), slot: None, node: None });
            children.len() - 1
        })
    }
}
