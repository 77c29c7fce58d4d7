//! How the bytes arrive must not matter: in one piece, in two, or one by one. The first byte says where
//! the two pieces meet.
#![no_main]

use edge_conn::chunked::{ChunkError, Chunked};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Some((at, content)) = data.split_first() else {
        return;
    };
    let (front, back) = content.split_at(usize::from(*at).min(content.len()));
    let whole = read([content]);
    assert_eq!(whole, read([front, back]));
    assert_eq!(whole, read(content.chunks(1)));
});

/// Bytes of the content, and whether it ended.
fn read<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Result<(usize, bool), ChunkError> {
    let mut chunked = Chunked::new();
    let mut length = 0;
    for piece in pieces {
        let taken = chunked.advance(piece)?;
        assert!(taken <= piece.len());
        assert!(taken == piece.len() || chunked.is_done());
        length += taken;
    }
    Ok((length, chunked.is_done()))
}
