//! What a part of a file says, as a number: two that differ only in layout, quotes, comments or the
//! order of keys have the same one.
//!
//! Taken before the environment is put in, so it says nothing about secrets that come from there.

use sha2::{Digest as _, Sha256};

use super::{Node, Typed, Value};

/// SHA-256 of what a part of a file says.
pub(crate) type Digest = [u8; 32];

/// The digest of `node` and everything in it.
pub(crate) fn of(node: &Node) -> Digest {
    let mut hash = Sha256::new();
    feed(node, &mut hash);
    hash.finalize().into()
}

/// A tree is no deeper than its parser let it be. Every part says its kind and length first, so that
/// no two trees feed the same bytes.
fn feed(node: &Node, hash: &mut Sha256) {
    match &node.value {
        Value::Scalar(scalar) => match scalar.typed() {
            Typed::Null => hash.update(b"~"),
            Typed::Bool(value) => hash.update([b'b', u8::from(value)]),
            // A number keeps its text: types that read strings see it.
            Typed::Unsigned(_) | Typed::Signed(_) | Typed::Float(_) => {
                text(b'n', &scalar.text, hash);
            }
            Typed::Text(value) => text(b's', value, hash),
        },
        Value::List(items) => {
            length(b'[', items.len(), hash);
            for item in items {
                feed(item, hash);
            }
        }
        Value::Map(entries) => {
            length(b'{', entries.len(), hash);
            let mut entries: Vec<_> = entries.iter().collect();
            entries.sort_by(|(a, _), (b, _)| a.name.cmp(&b.name));
            for (key, value) in entries {
                text(b'k', &key.name, hash);
                feed(value, hash);
            }
        }
    }
}

fn text(kind: u8, text: &str, hash: &mut Sha256) {
    length(kind, text.len(), hash);
    hash.update(text.as_bytes());
}

fn length(kind: u8, length: usize, hash: &mut Sha256) {
    hash.update([kind]);
    hash.update((length as u64).to_be_bytes());
}

/// A sum of digests: the same whatever their order, and one can be taken out again.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Checksum([u64; 4]);

impl Checksum {
    /// Puts a digest in.
    #[must_use]
    pub fn with(self, digest: &Digest) -> Self {
        let mut sum = self.0;
        let mut carry = false;
        for (limb, part) in sum.iter_mut().zip(limbs(digest)) {
            let (added, first) = limb.overflowing_add(part);
            let (added, second) = added.overflowing_add(u64::from(carry));
            (*limb, carry) = (added, first || second);
        }
        Self(sum)
    }

    /// Takes a digest out that was put in.
    #[must_use]
    pub fn without(self, digest: &Digest) -> Self {
        let mut sum = self.0;
        let mut borrow = false;
        for (limb, part) in sum.iter_mut().zip(limbs(digest)) {
            let (less, first) = limb.overflowing_sub(part);
            let (less, second) = less.overflowing_sub(u64::from(borrow));
            (*limb, borrow) = (less, first || second);
        }
        Self(sum)
    }

    /// Puts two sums together.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        let mut digest = [0; 32];
        for (bytes, limb) in digest.chunks_exact_mut(8).zip(other.0) {
            bytes.copy_from_slice(&limb.to_be_bytes());
        }
        self.with(&digest)
    }

    /// Puts in what is called `name` and says `content`.
    #[must_use]
    pub fn with_content(self, kind: &str, name: &str, content: &[u8]) -> Self {
        self.with(&named(kind, name, content))
    }
}

/// The digest of a named thing.
pub(crate) fn named(kind: &str, name: &str, content: &[u8]) -> Digest {
    let mut hash = Sha256::new();
    text(b'k', kind, &mut hash);
    text(b'n', name, &mut hash);
    hash.update(content);
    hash.finalize().into()
}

impl std::fmt::Display for Checksum {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|limb| write!(f, "{limb:016x}"))
    }
}

fn limbs(digest: &Digest) -> [u64; 4] {
    let mut limbs = [0; 4];
    for (limb, bytes) in limbs.iter_mut().zip(digest.chunks_exact(8)) {
        *limb = bytes
            .iter()
            .fold(0, |sum, byte| sum << 8 | u64::from(*byte));
    }
    limbs
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::{Source, Sources};

    fn digest(text: &str) -> Digest {
        let sources = Sources(vec![Source {
            name: "t".into(),
            text: text.to_owned(),
        }]);
        of(&crate::tree::parse::parse(&sources, 0, &mut Vec::new()).unwrap())
    }

    #[test]
    fn layout_and_order_of_keys_do_not_count_and_everything_else_does() {
        let one = digest("a: {b: 1, c: 'x'}\n");
        assert_eq!(digest("# note\na:\n  c: x\n  b: 1\n"), one);
        for other in [
            "a: {b: '1', c: x}\n",
            "a: {b: 2, c: x}\n",
            "a: {b: 1}\nc: x\n",
            "a: {b: 1, c: [x]}\n",
        ] {
            assert_ne!(digest(other), one, "{other}");
        }
        assert_ne!(digest("[a, b]"), digest("[b, a]"), "lists have an order");
    }

    #[test]
    fn a_sum_does_not_know_the_order_and_gives_back_what_was_put_in() {
        let (a, b, c) = ([0xff; 32], digest("b"), digest("c"));
        let sum = Checksum::default().with(&a).with(&b).with(&c);
        assert_eq!(sum, Checksum::default().with(&c).with(&a).with(&b));
        assert_eq!(sum.without(&a).without(&c), Checksum::default().with(&b));
        assert_eq!(sum.to_string().len(), 64);
    }
}
