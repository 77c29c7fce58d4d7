//! `normalizePath`, `normalizePathWin`: self-references, back-references and double slashes resolved.
//!
//! An absolute path never climbs above its root; a relative one keeps the `../` it cannot resolve.
//! A trailing slash stays, none is added. The Windows form reads `\` as `/` first.

use crate::byteset::ByteSet;

pub(super) const TRIGGERS: ByteSet = ByteSet::of(b"./");
pub(super) const WIN_TRIGGERS: ByteSet = ByteSet::of(b"./\\");

pub(super) fn normalize(input: &[u8], out: &mut Vec<u8>) {
    resolve(input, |byte| byte == b'/', out);
}

pub(super) fn normalize_win(input: &[u8], out: &mut Vec<u8>) {
    resolve(input, |byte| byte == b'/' || byte == b'\\', out);
}

fn resolve(input: &[u8], is_slash: fn(u8) -> bool, out: &mut Vec<u8>) {
    let absolute = input.first().is_some_and(|byte| is_slash(*byte));
    let trailing = input.last().is_some_and(|byte| is_slash(*byte));
    if absolute {
        out.push(b'/');
    }
    // What stands before `floor` can no longer be taken back: the root, or kept `../`.
    let mut floor = out.len();
    for segment in input.split(|byte| is_slash(*byte)) {
        match segment {
            b"" | b"." => {}
            b".." if out.len() > floor => {
                let kept = out.iter().rposition(|byte| *byte == b'/').unwrap_or(0);
                out.truncate(kept.max(floor));
            }
            b".." if absolute => {}
            _ => {
                if !matches!(out.last(), None | Some(b'/')) {
                    out.push(b'/');
                }
                out.extend_from_slice(segment);
                if segment == b".." {
                    floor = out.len();
                }
            }
        }
    }
    if trailing && !matches!(out.last(), None | Some(b'/')) {
        out.push(b'/');
    }
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
    fn traversal_is_resolved() {
        assert_eq!(run(normalize, b"/a//./b/../../etc/passwd"), b"/etc/passwd");
        assert_eq!(run(normalize, b"a/../../etc"), b"../etc");
        assert_eq!(run(normalize, b"/../.."), b"/");
        assert_eq!(run(normalize_win, b"..\\x\\..\\win.ini"), b"../win.ini");
    }

    #[test]
    fn dots_inside_names_stay() {
        for path in ["/a/b.html", "a..b/c", "...", "/a/", "x/.htaccess"] {
            assert_eq!(run(normalize, path.as_bytes()), path.as_bytes());
        }
    }
}
