//! The pages of the sample application. Whatever a visitor wrote is escaped on its way out.

use std::fmt::Write;

use super::store::Store;

/// Style sheet.
pub(super) const STYLE: &str = include_str!("style.css");
/// Script of the page.
pub(super) const SCRIPT: &str = include_str!("app.js");

/// The start page, with search results if something was searched for.
pub(super) fn home(store: &Store, user: Option<&str>, query: Option<&str>) -> String {
    fill(include_str!("home.html"), |name| match name {
        "query" => escape(query.unwrap_or_default()),
        "results" => query.map(|query| results(store, query)).unwrap_or_default(),
        "account" => account(user),
        "comments" => comments(store),
        _ => String::new(),
    })
}

/// A page with one sentence.
pub(super) fn message(text: &str) -> String {
    fill(include_str!("message.html"), |_| escape(text))
}

fn results(store: &Store, query: &str) -> String {
    let wanted = query.to_lowercase();
    let mut items = store.items();
    items.retain(|item| item.name.to_lowercase().contains(&wanted));
    let mut html = format!(
        "<p>{} found for <q>{}</q>.</p><ul>",
        items.len(),
        escape(query)
    );
    for item in items {
        // Cannot fail: the writer is a string.
        let _ = write!(
            html,
            "<li>{} <b>{:.2}</b></li>",
            escape(&item.name),
            item.price
        );
    }
    html + "</ul>"
}

fn account(user: Option<&str>) -> String {
    match user {
        Some(user) => format!(
            "<p>Signed in as <b>{}</b>.</p>\
             <form method=\"post\" action=\"/logout\"><button>Sign out</button></form>",
            escape(user)
        ),
        None => include_str!("login.html").to_owned(),
    }
}

fn comments(store: &Store) -> String {
    let mut html = String::new();
    for comment in store.comments().iter().rev() {
        let (name, text) = (escape(&comment.name), escape(&comment.text));
        // Cannot fail: the writer is a string.
        let _ = write!(html, "<li><b>{name}</b><p>{text}</p></li>");
    }
    html
}

/// Replaces each `{{name}}` of a template, in one pass: what is filled in is not looked at again.
fn fill(template: &str, value: impl Fn(&str) -> String) -> String {
    let mut out = String::with_capacity(2 * template.len());
    let mut rest = template;
    while let Some((before, after)) = rest.split_once("{{") {
        out.push_str(before);
        let (name, tail) = after.split_once("}}").unwrap_or((after, ""));
        out.push_str(&value(name));
        rest = tail;
    }
    out.push_str(rest);
    out
}

fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_visitor_wrote_is_never_markup_nor_a_template() {
        let store = Store::default();
        let attack = "\"><script>alert('x')</script>{{account}}";
        assert!(store.add_comment(attack, attack));
        let page = home(&store, None, Some(attack));
        assert!(!page.contains("<script>alert"), "{page}");
        assert_eq!(page.matches("{{account}}").count(), 4);
        assert_eq!(page.matches("action=\"/login\"").count(), 1);
    }

    #[test]
    fn ordinary_text_is_shown_as_it_was_written() {
        let store = Store::default();
        assert!(store.add_comment("Zoë", "5 für 3 & mehr"));
        let page = home(&store, Some("demo"), Some("lantern"));
        assert!(page.contains("<b>Zoë</b><p>5 für 3 &amp; mehr</p>"));
        assert!(page.contains("<li>Storm lantern <b>39.00</b></li>"));
        assert!(page.contains("Signed in as <b>demo</b>"));
    }

    #[test]
    fn every_place_of_a_template_is_known() {
        for name in ["query", "results", "account", "comments"] {
            assert!(include_str!("home.html").contains(&format!("{{{{{name}}}}}")));
        }
        assert_eq!(include_str!("home.html").matches("{{").count(), 4);
    }
}
