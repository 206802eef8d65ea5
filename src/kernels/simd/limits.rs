//! The largest registers and tiles of all instruction sets, for what cannot ask for its own.

/// Values of the widest register.
pub const MOST_LANES: usize = 16;

/// Values of a square of such registers.
pub const SQUARE: usize = MOST_LANES * MOST_LANES;

/// Rows of the largest tile.
pub const MOST_ROWS: usize = 14;

/// Columns of the widest tile.
pub const MOST_COLS: usize = 2 * MOST_LANES;

/// `$call`, where `$MR` is `$rows`, the rows of a tile, as a constant. It is compiled for as many as any instruction set has: a job of more
/// rows than its own has should return at once.
macro_rules! by_rows {
    ($rows:expr, $MR:ident => $call:expr) => {
        by_rows!($rows, $MR => $call, 1 2 3 4 5 6 7 8 9 10 11 12 13 14)
    };
    ($rows:expr, $MR:ident => $call:expr, $($n:literal)*) => {
        match $rows {
            $($n => {
                const $MR: usize = $n;
                $call
            })*
            _ => unreachable!("no instruction set has more rows"),
        }
    };
}
pub(super) use by_rows;
