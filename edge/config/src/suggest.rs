//! "Did you mean": the nearest known word.

/// The word of `known` that `word` was probably meant to be.
pub(crate) fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let wanted = folded(word);
    let allowed = (wanted.len() / 3).clamp(1, 4);
    known
        .into_iter()
        .map(|candidate| (distance(&wanted, &folded(candidate)), candidate))
        .filter(|(distance, _)| *distance <= allowed)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// "did you mean `x`?", or the list of what is known when it is short enough to read.
pub(crate) fn help(word: &str, known: &[&str], kind: &str) -> Option<String> {
    if let Some(near) = nearest(word, known.iter().copied()) {
        return Some(format!("did you mean `{near}`?"));
    }
    (1..=16).contains(&known.len()).then(|| {
        let words: Vec<String> = known.iter().map(|word| format!("`{word}`")).collect();
        format!("{kind}: {}", words.join(", "))
    })
}

/// Longer words are not compared: nobody means a key of a hundred letters.
fn folded(word: &str) -> Vec<char> {
    let letters = word.chars().take(64);
    letters
        .map(|c| {
            if c == '-' {
                '_'
            } else {
                c.to_ascii_lowercase()
            }
        })
        .collect()
}

/// Optimal string alignment: insert, delete, replace, swap neighbours.
#[expect(
    clippy::indexing_slicing,
    reason = "rows have b.len() + 1 entries and j runs over 0..=b.len(); i - 1 < a.len()"
)]
fn distance(a: &[char], b: &[char]) -> usize {
    let mut before = vec![0; b.len() + 1];
    let mut above: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i; b.len() + 1];
        for j in 1..=b.len() {
            let replace = above[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            row[j] = replace.min(above[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                row[j] = row[j].min(before[j - 2] + 1);
            }
        }
        before = std::mem::replace(&mut above, row);
    }
    above[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_find_their_word_and_strangers_do_not() {
        let known = ["listeners", "upstreams", "profiles", "on_fault", "waf"];
        for (word, expected) in [
            ("listner", Some("listeners")),
            ("upstraems", Some("upstreams")),
            ("on-fault", Some("on_fault")),
            ("WAF", Some("waf")),
            ("wfa", Some("waf")),
            ("banana", None),
            ("", None),
        ] {
            assert_eq!(nearest(word, known), expected, "{word}");
        }
    }
}
