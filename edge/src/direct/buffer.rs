//! Memory for bytes on their way, reused by the exchanges of a thread.

use std::cell::RefCell;

/// Taken only once there is something to read, and given back when dropped.
pub(super) struct Buffer(pub(super) Vec<u8>);

thread_local! {
    static SPARE: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

impl Buffer {
    pub(super) fn take() -> Self {
        let spare = SPARE.with_borrow_mut(Vec::pop);
        Self(spare.unwrap_or_else(|| vec![0; SIZE]))
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let buffer = std::mem::take(&mut self.0);
        // What a big head needed is not kept, and nothing while the thread ends.
        if buffer.len() == SIZE {
            let _ = SPARE.try_with(|spare| {
                let mut spare = spare.borrow_mut();
                if spare.len() < SPARES {
                    spare.push(buffer);
                }
            });
        }
    }
}

/// A page in one read.
const SIZE: usize = 32 * 1024;
const SPARES: usize = 32;
