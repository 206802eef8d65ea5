//! How a feed is cut into batches, and which of them a reader takes.

use super::DataError;

/// How a feed is cut into batches.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Samples per batch.
    pub batch_size: usize,
    /// Batches made ready ahead; 0 makes each when it is asked for.
    pub depth: usize,
    /// A new random order in each pass.
    pub shuffle: bool,
    /// Starts at a random one of the first so many samples.
    pub rand_skip: usize,
    /// Where all chance comes from.
    pub seed: u64,
    /// What to do with samples that cannot be used.
    pub on_bad: OnBad,
    /// The part of the stream that this reader takes.
    pub shard: Shard,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            batch_size: 1,
            depth: 4,
            shuffle: false,
            rand_skip: 0,
            seed: 0,
            on_bad: OnBad::Fail,
            shard: Shard::default(),
        }
    }
}

/// What to do with a sample that cannot be used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnBad {
    /// Stop with its error.
    #[default]
    Fail,
    /// Take the next usable one in the source's order instead, and count.
    Skip,
}

/// One of `count` readers that take the batches of one stream in turn.
#[derive(Clone, Copy, Debug)]
pub struct Shard {
    /// From 0.
    pub rank: u32,
    /// How many readers; at least 1.
    pub count: u32,
}

impl Default for Shard {
    fn default() -> Self {
        Self { rank: 0, count: 1 }
    }
}

impl Shard {
    /// Refuses a reader that is none of them.
    pub(super) fn check(self) -> Result<(), DataError> {
        match self.rank < self.count {
            true => Ok(()),
            false => Err(DataError::Setting(format!("shard {} of {} does not exist", self.rank, self.count))),
        }
    }
}
