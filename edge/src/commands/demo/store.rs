//! What the sample application remembers: a few items, comments and sessions, in memory, bounded.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

/// Everything there is; the oldest goes when there is too much.
pub(super) struct Store(Mutex<Contents>);

struct Contents {
    items: VecDeque<Item>,
    comments: VecDeque<Comment>,
    sessions: VecDeque<String>,
    next_id: u64,
}

/// A thing on sale.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Item {
    pub(super) id: u64,
    pub(super) name: String,
    /// In the shop's currency.
    pub(super) price: f64,
}

/// A thing to be put on sale.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NewItem {
    name: String,
    price: f64,
}

/// What a visitor wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Comment {
    pub(super) name: String,
    pub(super) text: String,
}

impl Default for Store {
    fn default() -> Self {
        let items = (1..).zip(GOODS).map(|(id, (name, price))| Item {
            id,
            name: name.to_owned(),
            price,
        });
        let welcome = Comment {
            name: "Ada".to_owned(),
            text: "The lantern lasted the whole expedition.".to_owned(),
        };
        Self(Mutex::new(Contents {
            items: items.collect(),
            comments: [welcome].into(),
            sessions: VecDeque::new(),
            next_id: 1 + GOODS.len() as u64,
        }))
    }
}

impl Store {
    pub(super) fn items(&self) -> Vec<Item> {
        self.lock().items.iter().cloned().collect()
    }

    /// Puts an item on sale; `None` if it makes no sense.
    pub(super) fn add_item(&self, NewItem { name, price }: NewItem) -> Option<Item> {
        if !fits(&name, MAX_NAME) || !(0.0..1e6).contains(&price) {
            return None;
        }
        let mut contents = self.lock();
        let id = contents.next_id;
        contents.next_id += 1;
        let item = Item { id, name, price };
        keep(&mut contents.items, item.clone());
        Some(item)
    }

    pub(super) fn comments(&self) -> Vec<Comment> {
        self.lock().comments.iter().cloned().collect()
    }

    /// Keeps a comment; false if it is empty or too long.
    pub(super) fn add_comment(&self, name: &str, text: &str) -> bool {
        let good = fits(name, MAX_NAME) && fits(text, MAX_TEXT);
        if good {
            let comment = Comment {
                name: name.to_owned(),
                text: text.to_owned(),
            };
            keep(&mut self.lock().comments, comment);
        }
        good
    }

    /// Begins a session and names it.
    pub(super) fn sign_in(&self) -> Result<String, getrandom::Error> {
        let token = format!("{:016x}{:016x}", getrandom::u64()?, getrandom::u64()?);
        keep(&mut self.lock().sessions, token.clone());
        Ok(token)
    }

    pub(super) fn sign_out(&self, token: &str) {
        self.lock().sessions.retain(|known| known != token);
    }

    pub(super) fn knows(&self, token: &str) -> bool {
        self.lock().sessions.iter().any(|known| known == token)
    }

    fn lock(&self) -> MutexGuard<'_, Contents> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn fits(text: &str, longest: usize) -> bool {
    !text.trim().is_empty() && text.chars().count() <= longest
}

fn keep<T>(list: &mut VecDeque<T>, new: T) {
    if list.len() >= MAX_KEPT {
        list.pop_front();
    }
    list.push_back(new);
}

/// Things of a kind that are kept.
const MAX_KEPT: usize = 100;
/// Characters of a name.
const MAX_NAME: usize = 80;
/// Characters of a comment.
const MAX_TEXT: usize = 1000;
const GOODS: [(&str, f64); 6] = [
    ("Storm lantern", 39.0),
    ("Oak barrel", 120.0),
    ("Climbing rope, 30 m", 58.5),
    ("Field notebook", 7.9),
    ("Iron kettle", 44.0),
    ("Compass", 25.0),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_bounded_and_the_newest_stays() {
        let store = Store::default();
        for number in 0..500 {
            assert!(store.add_comment("n", &number.to_string()));
            store.sign_in().unwrap();
        }
        assert_eq!(store.comments().len(), MAX_KEPT);
        assert_eq!(store.comments().last().unwrap().text, "499");
        assert_eq!(store.lock().sessions.len(), MAX_KEPT);
    }

    #[test]
    fn empty_and_endless_comments_are_not_kept() {
        let store = Store::default();
        assert!(!store.add_comment(" ", "text"));
        assert!(!store.add_comment("name", ""));
        assert!(!store.add_comment("name", &"x".repeat(MAX_TEXT + 1)));
        assert!(store.add_comment("name", &"ä".repeat(MAX_TEXT)));
    }

    #[test]
    fn a_session_ends_with_its_sign_out_and_others_stay() {
        let store = Store::default();
        let (one, two) = (store.sign_in().unwrap(), store.sign_in().unwrap());
        store.sign_out(&one);
        assert!(!store.knows(&one));
        assert!(store.knows(&two));
        assert!(!store.knows(""));
    }
}
