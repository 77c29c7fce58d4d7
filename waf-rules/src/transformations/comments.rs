//! `removeComments`, `removeCommentsChar`, `replaceComments`: comments of SQL, C, shell and HTML.
//!
//! `replaceComments` knows `/*…*/` only: each becomes one space; an unclosed one becomes a space and
//! cuts the rest. `removeComments` deletes `/*…*/` and `<!--…-->`, and `--` or `#` becomes a space
//! and cuts the rest; so does an unclosed comment. `removeCommentsChar` deletes the marks alone.
//! Unlike libmodsecurity, `removeComments` looks at the byte after a closed comment too, so a second
//! comment straight after the first is not missed.

use crate::byteset::ByteSet;

pub(super) const REPLACE_TRIGGERS: ByteSet = ByteSet::of(b"/");
pub(super) const REMOVE_TRIGGERS: ByteSet = ByteSet::of(b"/<-#");
pub(super) const CHAR_TRIGGERS: ByteSet = ByteSet::of(b"/*<-#");

pub(super) fn replace(mut input: &[u8], out: &mut Vec<u8>) {
    while let Some((&byte, rest)) = input.split_first() {
        if let Some(inside) = input.strip_prefix(b"/*") {
            out.push(b' ');
            input = after(inside, b"*/").unwrap_or_default();
        } else {
            out.push(byte);
            input = rest;
        }
    }
}

pub(super) fn remove(mut input: &[u8], out: &mut Vec<u8>) {
    while let Some((&byte, rest)) = input.split_first() {
        let comment = input
            .strip_prefix(b"/*")
            .map(|inside| after(inside, b"*/"))
            .or_else(|| {
                let inside = input.strip_prefix(b"<!--")?;
                Some(after(inside, b"-->"))
            });
        match comment {
            Some(Some(behind)) => input = behind,
            Some(None) => {
                out.push(b' ');
                return;
            }
            None if byte == b'#' || input.starts_with(b"--") => {
                out.push(b' ');
                return;
            }
            None => {
                out.push(byte);
                input = rest;
            }
        }
    }
}

pub(super) fn remove_marks(mut input: &[u8], out: &mut Vec<u8>) {
    const MARKS: [&[u8]; 6] = [b"/*", b"*/", b"<!--", b"-->", b"--", b"#"];
    while let Some((&byte, rest)) = input.split_first() {
        let mark = CHAR_TRIGGERS.contains(byte).then(|| {
            let mut marks = MARKS.iter();
            marks.find_map(|mark| input.strip_prefix(*mark))
        });
        if let Some(Some(behind)) = mark {
            input = behind;
        } else {
            out.push(byte);
            input = rest;
        }
    }
}

/// What follows the first `mark` in `input`.
fn after<'a>(input: &'a [u8], mark: &[u8]) -> Option<&'a [u8]> {
    let at = memchr::memmem::find(input, mark)?;
    input.get(at + mark.len()..)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(step: fn(&[u8], &mut Vec<u8>), input: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        step(input, &mut out);
        out
    }

    #[test]
    fn comments_used_as_blanks_become_blanks() {
        assert_eq!(run(replace, b"union/**/select/*x"), b"union select ");
    }

    #[test]
    fn two_comments_in_a_row_are_both_removed() {
        assert_eq!(run(remove, b"un/*a*//*b*/ion<!-- c -->x"), b"unionx");
        assert_eq!(run(remove, b"1 -- rest"), b"1  ");
        assert_eq!(run(remove, b"1# rest"), b"1 ");
        assert_eq!(run(remove, b"1/* rest"), b"1 ");
    }

    #[test]
    fn a_lone_slash_or_dash_is_no_comment() {
        for step in [replace, remove, remove_marks] {
            assert_eq!(run(step, b"a/b-c*d <b>"), b"a/b-c*d <b>");
        }
    }
}
