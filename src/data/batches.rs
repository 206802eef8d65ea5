//! Batches of a stream of samples: which sample stands where in which batch, and what happens to bad ones.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    DataError, Draw, Feed, OnBad, Place, Settings, Shard,
    bad::{BadSamples, LabelRange},
    crew::Crew,
    order::Order,
};
use crate::tensor::Shape;

/// The batches of an endless stream of samples; see [`next`](Self::next).
pub struct Batches {
    job: Arc<Job>,
    depth: usize,
    position: u64,
    crew: Option<Crew<Batch>>,
    /// The next batch, if it has been asked for its shapes, and the memory of one before.
    taken: Option<Batch>,
    spare: Option<Batch>,
    waited: Duration,
    bad: BadSamples,
}

impl Batches {
    /// Starts at position 0. Threads start with the first batch.
    pub fn new(feed: Box<dyn Feed>, settings: Settings) -> Result<Self, DataError> {
        let Settings { batch_size, depth, shuffle, rand_skip, seed, on_bad, shard } = settings;
        if batch_size == 0 {
            return Err(DataError::Setting("batch_size must be positive".into()));
        }
        shard.check()?;
        let order = Order::new(feed.runs(), shuffle, rand_skip, seed);
        if order.len() == 0 {
            return Err(DataError::Empty { path: feed.name().into() });
        }
        let job = Job { feed, order, batch_size, seed, on_bad, shard, any_shape: false, labels: Vec::new() };
        let (job, bad) = (Arc::new(job), BadSamples::default());
        let waited = Duration::ZERO;
        Ok(Self { job, depth, position: 0, crew: None, taken: None, spare: None, waited, bad })
    }

    /// The shape of each top, with the batch axis first; the first batch's where they change.
    pub fn shapes(&self) -> Vec<Shape> {
        self.job.with_batch(self.job.feed.shapes())
    }

    /// From now on [`next_shapes`](Self::next_shapes) is asked before each batch: where a batch is one sample, that may be of any shape.
    pub fn take_any_shape(&mut self) {
        self.change(|job| job.any_shape = job.batch_size == 1);
    }

    /// The shapes of the next batch, if they may differ from [`shapes`](Self::shapes).
    pub fn next_shapes(&mut self) -> Result<Option<Vec<Shape>>, DataError> {
        if !self.job.any_shape {
            return Ok(None);
        }
        let batch = match self.taken.take() {
            Some(batch) => batch,
            None => self.take()?,
        };
        Ok(Some(self.job.with_batch(&self.taken.insert(batch).shapes)))
    }

    /// The next batch, made now or ahead.
    fn take(&mut self) -> Result<Batch, DataError> {
        let started = Instant::now();
        let batch = if self.depth == 0 {
            self.job.batch(self.position, self.spare.take())
        } else {
            let crew = match &mut self.crew {
                Some(crew) => crew,
                none => none.insert(self.job.crew(self.depth, self.position)?),
            };
            crew.take()
        };
        self.waited += started.elapsed();
        if batch.is_err() {
            self.crew = None;
        }
        batch
    }

    /// Samples in one pass over the source.
    pub fn len(&self) -> usize {
        self.job.order.len()
    }

    /// Never: a source without samples is refused.
    pub fn is_empty(&self) -> bool {
        false
    }

    /// Samples consumed so far, by all shards together: all that a resume needs to know.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// Goes on from `position`, as if all samples before it had been consumed.
    pub fn seek(&mut self, position: u64) {
        if position != self.position {
            (self.crew, self.taken) = (None, None);
            self.position = position;
        }
    }

    /// Takes another part of the stream than [`Settings`] said, from the current position on.
    pub fn set_shard(&mut self, shard: Shard) -> Result<(), DataError> {
        shard.check()?;
        self.change(|job| job.shard = shard);
        Ok(())
    }

    /// Makes batches of another size than [`Settings`] said, from the current position on.
    pub fn set_batch_size(&mut self, batch_size: usize) {
        debug_assert!(batch_size > 0, "a batch has samples");
        self.spare = None;
        self.change(|job| job.batch_size = batch_size);
    }

    /// Treats bad samples otherwise than [`Settings`] said.
    pub fn set_on_bad(&mut self, on_bad: OnBad) {
        self.change(|job| job.on_bad = on_bad);
    }

    /// From now on a sample whose values in this top are no such labels is bad.
    pub fn expect_labels(&mut self, top: usize, range: LabelRange) {
        self.change(|job| job.labels.push((top, range)));
    }

    fn change(&mut self, change: impl FnOnce(&mut Job)) {
        // Without its threads nobody else holds the job.
        (self.crew, self.taken) = (None, None);
        if let Some(job) = Arc::get_mut(&mut self.job) {
            change(job);
        }
    }

    /// Time that [`next`](Self::next) has spent waiting for data, copying apart.
    pub fn waited(&self) -> Duration {
        self.waited
    }

    /// The samples left out so far under [`OnBad::Skip`].
    pub fn bad(&self) -> &BadSamples {
        &self.bad
    }

    /// Fills the tops, a slice for each of [`shapes`](Self::shapes), or [`next_shapes`](Self::next_shapes), with the next batch.
    /// After an error the position is where it was.
    pub fn next(&mut self, tops: &mut [&mut [f32]]) -> Result<(), DataError> {
        if self.depth == 0 && !self.job.any_shape {
            let started = Instant::now();
            let made = self.job.make(self.position, tops, &mut self.bad);
            self.waited += started.elapsed();
            made?;
        } else {
            let batch = match self.taken.take() {
                Some(batch) => batch,
                None => self.take()?,
            };
            for (top, values) in tops.iter_mut().zip(&batch.tops) {
                top.copy_from_slice(values);
            }
            self.bad.join(&batch.bad);
            match &self.crew {
                Some(crew) => crew.give_back(batch),
                None => self.spare = Some(batch),
            }
        }
        self.position += self.job.step();
        Ok(())
    }
}

/// What makes a batch: shared by all threads, changed by none.
struct Job {
    feed: Box<dyn Feed>,
    order: Order,
    batch_size: usize,
    seed: u64,
    on_bad: OnBad,
    shard: Shard,
    /// Whether a batch, which then is one sample, may have other shapes than the feed says.
    any_shape: bool,
    /// Which labels the tops may hold.
    labels: Vec<(usize, LabelRange)>,
}

impl Job {
    /// Samples that all shards together consume between two batches of this one.
    fn step(&self) -> u64 {
        self.batch_size as u64 * u64::from(self.shard.count)
    }

    /// These shapes with the batch axis first.
    fn with_batch(&self, shapes: &[Shape]) -> Vec<Shape> {
        shapes.iter().map(|shape| Shape::from([&[self.batch_size], &shape[..]].concat())).collect()
    }

    /// Fills the batch whose turn comes when `position` samples have been consumed.
    fn make(&self, position: u64, tops: &mut [&mut [f32]], bad: &mut BadSamples) -> Result<(), DataError> {
        self.complain()?;
        let counts: Vec<_> = self.feed.shapes().iter().map(Shape::count).collect();
        for sample in 0..self.batch_size {
            let mut slices: Vec<_> = tops
                .iter_mut()
                .zip(&counts)
                .map(|(top, &n)| &mut top[sample * n..(sample + 1) * n])
                .collect();
            self.fill(self.first(position) + sample as u64, bad, |place, draw| {
                self.feed.fill(place, draw, &mut slices)?;
                self.check_labels(place.index, &slices)
            })?;
        }
        Ok(())
    }

    /// What is wrong with the first sample, unless such are left out.
    fn complain(&self) -> Result<(), DataError> {
        match self.feed.complaint().filter(|_| self.on_bad == OnBad::Fail) {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }

    /// The first sample of this shard's batch.
    fn first(&self, position: u64) -> u64 {
        position + self.batch_size as u64 * u64::from(self.shard.rank)
    }

    /// Makes the batches from `position` on ahead of their use.
    fn crew(self: &Arc<Self>, depth: usize, position: u64) -> Result<Crew<Batch>, DataError> {
        let job = self.clone();
        Crew::start(depth, move |number, spare| job.batch(position + number * job.step(), spare))
    }

    /// The batch of a position, in the buffers of a spare one.
    fn batch(&self, position: u64, spare: Option<Batch>) -> Result<Batch, DataError> {
        let fresh = || self.feed.shapes().iter().map(|s| vec![0.0; s.count() * self.batch_size]).collect();
        let mut tops: Vec<Vec<f32>> = spare.map_or_else(fresh, |batch| batch.tops);
        let (mut bad, mut shapes) = (BadSamples::default(), Vec::new());
        if self.any_shape {
            self.complain()?;
            self.fill(self.first(position), &mut bad, |place, draw| {
                shapes = self.feed.fill_any_shape(place, draw, &mut tops)?;
                self.check_labels(place.index, &tops)
            })?;
        } else {
            let mut slices: Vec<_> = tops.iter_mut().map(Vec::as_mut_slice).collect();
            self.make(position, &mut slices, &mut bad)?;
        }
        Ok(Batch { tops, shapes, bad })
    }

    /// Has `f` make the sample whose turn comes, or one behind it where bad ones are left out.
    fn fill(
        &self,
        position: u64,
        bad: &mut BadSamples,
        mut f: impl FnMut(Place, &mut Draw) -> Result<(), DataError>,
    ) -> Result<(), DataError> {
        let index = self.order.index(position);
        let mut tried = 0;
        loop {
            let place = Place { index: (index + tried) % self.order.len(), position };
            match f(place, &mut Draw::of_sample(self.seed, position)) {
                Err(error @ DataError::Sample { .. })
                    if self.on_bad == OnBad::Skip && tried + 1 < self.order.len() =>
                {
                    bad.add(&error);
                    tried += 1;
                }
                outcome => return outcome,
            }
        }
    }

    fn check_labels(&self, index: usize, tops: &[impl AsRef<[f32]>]) -> Result<(), DataError> {
        let wrong = self.labels.iter().find_map(|(top, range)| range.refusal(tops.get(*top)?.as_ref()));
        match wrong {
            Some(problem) => Err(DataError::sample(self.feed.name().as_ref(), self.feed.key(index), problem)),
            None => Ok(()),
        }
    }
}

/// A batch that was made ahead.
struct Batch {
    tops: Vec<Vec<f32>>,
    /// Of its one sample, if that may be of any shape.
    shapes: Vec<Shape>,
    bad: BadSamples,
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    /// Sample `i` holds its number and a random one.
    struct Numbers {
        len: usize,
        shapes: Vec<Shape>,
        /// Samples that are bad, and one that panics.
        bad: Vec<usize>,
        panics: Option<usize>,
        /// How often `fill` ran.
        filled: Arc<AtomicUsize>,
    }

    fn numbers(len: usize) -> Numbers {
        let shapes = vec![Shape::from([2]), Shape::default()];
        Numbers { len, shapes, bad: Vec::new(), panics: None, filled: Arc::default() }
    }

    impl Feed for Numbers {
        fn runs(&self) -> Vec<usize> {
            vec![self.len]
        }

        fn shapes(&self) -> &[Shape] {
            &self.shapes
        }

        fn fill(&self, place: Place, draw: &mut Draw, tops: &mut [&mut [f32]]) -> Result<(), DataError> {
            self.filled.fetch_add(1, Ordering::SeqCst);
            assert_ne!(self.panics, Some(place.index), "a defect");
            if self.bad.contains(&place.index) {
                return Err(DataError::sample("numbers".as_ref(), place.index.to_string(), "bad"));
            }
            tops[0].copy_from_slice(&[place.index as f32, draw.unit()]);
            tops[1][0] = -(place.index as f32);
            Ok(())
        }

        fn name(&self) -> String {
            "numbers".into()
        }
    }

    fn batches(feed: Numbers, settings: Settings) -> Batches {
        Batches::new(Box::new(feed), settings).unwrap()
    }

    fn take(batches: &mut Batches, n: usize) -> Vec<Vec<f32>> {
        let counts: Vec<_> = batches.shapes().iter().map(Shape::count).collect();
        (0..n)
            .map(|_| {
                let (mut a, mut b) = (vec![0.0; counts[0]], vec![0.0; counts[1]]);
                batches.next(&mut [&mut a, &mut b]).unwrap();
                assert!(b.iter().zip(a.chunks(2)).all(|(b, a)| *b == -a[0]));
                a
            })
            .collect()
    }

    fn indices(batch: &[f32]) -> Vec<usize> {
        batch.chunks(2).map(|sample| sample[0] as usize).collect()
    }

    #[test]
    fn key_order_wraps_round_even_within_a_batch() {
        let mut b = batches(numbers(3), Settings { batch_size: 4, ..Default::default() });
        let got: Vec<_> = take(&mut b, 2).iter().map(|batch| indices(batch)).collect();
        assert_eq!(got, [[0, 1, 2, 0], [1, 2, 0, 1]]);
        assert_eq!((b.position(), b.len()), (8, 3));
    }

    #[test]
    fn reading_ahead_changes_nothing() {
        let settings =
            |depth| Settings { batch_size: 3, depth, shuffle: true, seed: 9, ..Default::default() };
        let plain = take(&mut batches(numbers(10), settings(0)), 20);
        for depth in [1, 2, 7] {
            assert_eq!(take(&mut batches(numbers(10), settings(depth)), 20), plain, "depth {depth}");
        }
        let mut resumed = batches(numbers(10), settings(3));
        take(&mut resumed, 2);
        resumed.seek(3 * 12);
        assert_eq!(take(&mut resumed, 8), plain[12..]);
    }

    #[test]
    fn shards_together_see_what_one_reader_sees() {
        let settings = |rank, count, batch_size| Settings {
            batch_size,
            shuffle: true,
            shard: Shard { rank, count },
            ..Default::default()
        };
        let whole = take(&mut batches(numbers(7), settings(0, 1, 6)), 5);
        let mut parts: Vec<_> = (0..3).map(|rank| batches(numbers(7), settings(rank, 3, 2))).collect();
        for batch in whole {
            let joined: Vec<_> = parts.iter_mut().flat_map(|p| take(p, 1)).flatten().collect();
            assert_eq!(joined, batch);
        }
        assert!(parts.iter().all(|p| p.position() == 30));
    }

    #[test]
    fn at_most_depth_batches_are_made_ahead() {
        let feed = numbers(100);
        let filled = feed.filled.clone();
        let mut b = batches(feed, Settings { batch_size: 2, depth: 3, ..Default::default() });
        assert_eq!(filled.load(Ordering::SeqCst), 0, "no thread starts before the first batch");
        take(&mut b, 5);
        drop(b);
        assert!((10..=16).contains(&filled.load(Ordering::SeqCst)), "5 delivered and at most 3 ahead");
    }

    #[test]
    fn errors_arrive_in_their_place_and_do_not_end_the_stream() {
        for depth in [0, 1, 4] {
            let feed = Numbers { bad: vec![5], panics: Some(8), ..numbers(12) };
            let mut b = batches(feed, Settings { batch_size: 2, depth, ..Default::default() });
            take(&mut b, 2);
            let (mut x, mut y) = ([0.0; 4], [0.0; 2]);
            for _ in 0..2 {
                let error = b.next(&mut [&mut x, &mut y]).unwrap_err();
                assert_eq!(error.to_string(), "sample `5` of `numbers`: bad");
                assert_eq!(b.position(), 4);
            }
            b.seek(6);
            take(&mut b, 1);
            if depth > 0 {
                let error = b.next(&mut [&mut x, &mut y]).unwrap_err().to_string();
                assert!(error.contains("a defect"), "{error}");
            }
            b.seek(10);
            assert_eq!(indices(&take(&mut b, 1)[0]), [10, 11]);
        }
    }

    #[test]
    fn bad_samples_can_be_left_out() {
        let settings = Settings { batch_size: 4, depth: 0, on_bad: OnBad::Skip, ..Default::default() };
        let mut b = batches(Numbers { bad: vec![1, 2], ..numbers(4) }, settings.clone());
        assert_eq!(indices(&take(&mut b, 1)[0]), [0, 3, 3, 3]);
        assert_eq!((b.bad().count(), b.bad().messages().len()), (3, 2));
        let mut none = batches(Numbers { bad: vec![0, 1], ..numbers(2) }, settings);
        assert!(none.next(&mut [&mut [0.0; 8], &mut [0.0; 4]]).is_err(), "all are bad");
    }

    #[test]
    fn labels_out_of_range_are_bad_samples() {
        let range = LabelRange { classes: 2, ignored: None };
        for depth in [0, 3] {
            let settings = |on_bad| Settings { batch_size: 2, depth, on_bad, ..Default::default() };
            let mut b = batches(numbers(4), settings(OnBad::Fail));
            // The second top holds 0, -1, -2, ...
            b.expect_labels(1, LabelRange { ignored: Some(-1), ..range });
            take(&mut b, 1);
            let error = b.next(&mut [&mut [0.0; 4], &mut [0.0; 2]]).unwrap_err().to_string();
            assert_eq!(error, "sample `2` of `numbers`: its label is -2, but the net has 2 classes, from 0");
            let mut b = batches(numbers(4), settings(OnBad::Skip));
            b.expect_labels(1, range);
            assert_eq!(indices(&take(&mut b, 2)[1]), [0, 0]);
            assert_eq!((b.bad().count(), b.bad().messages().len()), (3 + 2 + 1, 3), "depth {depth}");
        }
    }

    #[test]
    fn settings_are_checked() {
        let refuse = |feed, settings| {
            Batches::new(Box::new(feed), settings).err().map(|e: DataError| e.to_string()).unwrap_or_default()
        };
        let none = Settings { batch_size: 0, ..Default::default() };
        assert_eq!(refuse(numbers(1), none), "batch_size must be positive");
        assert_eq!(refuse(numbers(0), Settings::default()), "`numbers` holds no samples");
        let shard = Settings { shard: Shard { rank: 2, count: 2 }, ..Default::default() };
        assert_eq!(refuse(numbers(1), shard), "shard 2 of 2 does not exist");
    }
}
