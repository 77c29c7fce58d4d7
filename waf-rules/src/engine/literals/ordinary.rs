//! What ordinary values are made of, to tell which part of a literal they seldom hold.
//!
//! Only speed depends on it: any choice finds the same literals.

use std::collections::{HashMap, HashSet};

use super::level::FOLD;

/// How common pairs of bytes are, and which grams have been given out.
pub(super) struct Ordinary {
    pairs: Vec<u8>,
    /// The sample's grams of three and four bytes, folded.
    seen: HashSet<u32>,
    taken: HashMap<u32, u32>,
}

impl Ordinary {
    pub(super) fn new() -> Self {
        let mut pairs = vec![0_u8; 1 << 16];
        for pair in SAMPLE.as_bytes().array_windows::<2>() {
            if let Some(count) = pairs.get_mut(index(*pair)) {
                *count = count.saturating_add(1);
            }
        }
        let sample = SAMPLE.as_bytes();
        let grams = sample.windows(3).chain(sample.windows(4));
        Self {
            pairs,
            seen: grams.map(folded).collect(),
            taken: HashMap::new(),
        }
    }

    /// Where the gram of `width` bytes of `literal` stands that is seldom seen and seldom given out
    /// yet, and that gram, folded.
    pub(super) fn rarest(&mut self, literal: &[u8], width: usize) -> Option<(usize, u32)> {
        let grams = literal.windows(width.max(1)).enumerate();
        let (_, offset, gram) = grams
            .map(|(offset, gram)| {
                let number = folded(gram);
                let crowd = self.taken.get(&number).copied().unwrap_or(0);
                let seen = u32::from(self.seen.contains(&number));
                let cost = self.commonness(gram) + CROWD * crowd + SEEN * seen;
                (cost, offset, number)
            })
            .min()?;
        *self.taken.entry(gram).or_default() += 1;
        Some((offset, gram))
    }

    /// About the logarithm of how often ordinary values hold `gram`.
    fn commonness(&self, gram: &[u8]) -> u32 {
        let pairs = gram.array_windows::<2>().map(|pair| {
            let count = self.pairs.get(index(*pair)).copied().unwrap_or(0);
            count.checked_ilog2().map_or(0, |log| 2 + log)
        });
        let bytes = gram.iter().map(|byte| match byte {
            b'j' | b'k' | b'q' | b'x' | b'z' => 1,
            byte if byte.is_ascii_alphanumeric() => 2,
            _ => 0,
        });
        3 * pairs.sum::<u32>() + bytes.sum::<u32>()
    }
}

/// Up to four bytes of a gram, folded, the rest zero.
fn folded(gram: &[u8]) -> u32 {
    let mut bytes = [0; 4];
    for (to, from) in bytes.iter_mut().zip(gram) {
        *to = *from | FOLD.to_le_bytes()[0];
    }
    u32::from_le_bytes(bytes)
}

fn index([first, second]: [u8; 2]) -> usize {
    usize::from(first.to_ascii_lowercase()) << 8 | usize::from(second.to_ascii_lowercase())
}

/// A gram that one more literal hangs on counts as so much more common.
const CROWD: u32 = 1;
/// And so does one that stands in the sample as it is.
const SEEN: u32 = 30;

/// Headers, cookies, forms, JSON and prose as sites see them all day.
const SAMPLE: &str = r#"
Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36
Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.1 Mobile/15E148
Mozilla/5.0 (X11; Linux x86_64; rv:132.0) Gecko/20100101 Firefox/132.0
text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8
application/json, text/plain, */* gzip, deflate, br en-US,en;q=0.9,de;q=0.7 keep-alive no-cache max-age=0
application/x-www-form-urlencoded; charset=UTF-8 multipart/form-data; boundary=----WebKitFormBoundary same-origin
cross-site navigate document cors empty "Chromium";v="131", "Not_A Brand";v="24" "Windows" XMLHttpRequest
https://cdn.shop.example/ https://login.account.example.org/ http://blog.news.example.net/ https://api.media.example.de/
https://www.example.com/products/shoes/item-1234.html?ref=search&page=2&sort=price&utm_source=newsletter&lang=en
/static/css/main.3f2a1b.css /assets/js/app.min.js /images/logo.png /api/v1/users/42/orders?limit=20&offset=40
/wp-content/themes/site/style.css /favicon.ico /index.php?id=7&action=view&category=books&session=true
session_id=8f14e45fceea167a5a36dedd4bea2543; theme=dark; _ga=GA1.2.1234567890.1700000000; csrftoken=Zk9xTq3LmW
name=Maria+Garcia&email=maria.garcia%40example.org&phone=%2B49+30+123456&address=12+Main+Street&city=Berlin
comment=I+really+like+this+product%2C+thank+you+for+the+quick+delivery.+It+works+as+expected+and+looks+great.
{"id": 12345, "name": "Coffee machine", "price": 129.99, "currency": "EUR", "in_stock": true, "tags": ["kitchen"],
"created_at": "2025-03-14T09:26:53Z", "user": {"first_name": "John", "last_name": "Smith", "address": null},
"description": "The quick brown fox jumps over the lazy dog while the sun is shining on the old stone bridge.",
"items": [{"sku": "A-1001", "quantity": 2, "status": "shipped", "title": "Order number and date of delivery"}]}
There are many things that people want to read about when they have some time in the morning or before dinner.
We would like to know whether the meeting on Monday could be moved to another day, since most of the team is not
in the office. Please let me know what you think about it and which of these options would be better for you. The
first version of this document was written last year; it has been changed since then, but the main part is still
the same. Their customers should always be able to find out how much they have to pay for the service, where the
information comes from, and who is responsible for it. If there is a question, our support can help with that.
Lorem ipsum dolor sit amet, consectetur adipiscing elit, sed do eiusmod tempor incididunt ut labore et dolore magna
"#;
