//! Memory that a thread keeps between calls, so that kernels do not allocate once they are warm.

use std::cell::RefCell;

use crate::tensor::Buffer;

thread_local! {
    /// Buffers not lent now; the last returned is the first lent, so nested calls find their own size again.
    static KEPT: RefCell<Vec<Buffer>> = const { RefCell::new(Vec::new()) };
}

/// Calls `f` with `len` values that hold anything. Calls may nest: each level keeps its own buffer.
pub fn lend<R>(len: usize, f: impl FnOnce(&mut [f32]) -> R) -> R {
    let mut buffer = KEPT.with_borrow_mut(Vec::pop).unwrap_or_default();
    if buffer.len() < len {
        buffer = Buffer::zeroed(len);
    }
    let result = f(&mut buffer[..len]);
    KEPT.with_borrow_mut(|kept| kept.push(buffer));
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_kept_and_nested_calls_do_not_share_it() {
        let first = lend(100, |s| s.as_ptr() as usize);
        lend(50, |outer| {
            assert_eq!(outer.as_ptr() as usize, first);
            outer.fill(1.0);
            lend(50, |inner| inner.fill(2.0));
            assert_eq!(outer[49], 1.0);
        });
    }
}
