//! Shapes and the aligned buffers that hold their values.

use std::{fmt, ops};

use aligned_vec::{AVec, ConstAlign};
use memmap2::MmapMut;

/// More values than an address space of 47 bits holds; sums and small multiples of such counts do not overflow.
const MAX_COUNT: usize = 1 << 45;

/// The lengths of a blob's axes, outermost first. No axes: one value.
#[derive(Clone, PartialEq, Eq, Hash, Default)]
pub struct Shape(Vec<usize>);

impl Shape {
    /// A shape of these axes.
    pub fn new(axes: impl Into<Vec<usize>>) -> Self {
        Self(axes.into())
    }

    /// A shape without axes.
    pub const fn scalar() -> Self {
        Self(Vec::new())
    }

    /// How many values: the product of all axes, 1 without axes; the largest number where it exceeds that.
    pub fn count(&self) -> usize {
        product(&self.0)
    }

    /// Like [`Shape::count`]; `None` when no memory could hold the values.
    pub fn checked_count(&self) -> Option<usize> {
        // Parts of the shape are counted, too: an axis of 0 does not excuse the others.
        let sides: Vec<usize> = self.0.iter().map(|&side| side.max(1)).collect();
        (product(&sides) <= MAX_COUNT).then(|| self.count())
    }

    /// The product of the axes in `range`, for example `shape.count_of(1..)`.
    pub fn count_of(&self, range: impl std::slice::SliceIndex<[usize], Output = [usize]>) -> usize {
        product(&self.0[range])
    }

    /// Resolves an axis counted from the front, or, when negative, from the back; `None` outside.
    pub fn axis(&self, axis: i32) -> Option<usize> {
        let n = self.0.len() as i64;
        let i = if axis < 0 { n + i64::from(axis) } else { i64::from(axis) };
        (0..n).contains(&i).then_some(i as usize)
    }

    /// The shape as Caffe's legacy four axes `N C H W`: shorter shapes get leading ones.
    pub fn legacy(&self) -> Option<[usize; 4]> {
        let mut out = [1; 4];
        let n = self.0.len();
        (n <= 4).then(|| {
            out[4 - n..].copy_from_slice(&self.0);
            out
        })
    }
}

impl ops::Deref for Shape {
    type Target = [usize];

    fn deref(&self) -> &[usize] {
        &self.0
    }
}

impl<const N: usize> From<[usize; N]> for Shape {
    fn from(axes: [usize; N]) -> Self {
        Self(axes.to_vec())
    }
}

impl From<Vec<usize>> for Shape {
    fn from(axes: Vec<usize>) -> Self {
        Self(axes)
    }
}

impl From<&[usize]> for Shape {
    fn from(axes: &[usize]) -> Self {
        Self(axes.to_vec())
    }
}

/// As messages name shapes: `64 x 1 x 28 x 28`, `scalar` without axes.
impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("scalar");
        }
        for (i, axis) in self.0.iter().enumerate() {
            write!(f, "{}{axis}", if i == 0 { "" } else { " x " })?;
        }
        Ok(())
    }
}

impl fmt::Debug for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

fn product(sides: &[usize]) -> usize {
    sides.iter().fold(1, |count, &side| count.saturating_mul(side))
}

/// The value of a number of 16 bits as IEEE 754 has it: a sign, 5 bits of exponent, 10 of fraction.
pub fn f32_of_half(bits: u16) -> f32 {
    let (exponent, fraction) = (bits >> 10 & 0x1f, bits & 0x3ff);
    let size = match exponent {
        0 => f32::from(fraction) * 2f32.powi(-24),
        0x1f if fraction == 0 => f32::INFINITY,
        0x1f => f32::NAN,
        _ => f32::from(fraction | 0x400) * 2f32.powi(i32::from(exponent) - 25),
    };
    if bits >> 15 == 0 { size } else { -size }
}

/// More memory than the machine has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{} GB of memory are needed, which this machine does not have", self.values.div_ceil(1 << 28))]
pub struct OutOfMemory {
    /// How many values were to be held.
    pub values: usize,
}

/// Values from which on a buffer asks the system for pages of its own, in large pieces where it has them (2 MiB on x86-64):
/// kernels that walk many lines at a time then do not wait for address translation, and zeros cost nothing.
const PAGED: usize = 1 << 20;

/// Values in memory that starts at a multiple of 64 bytes, so that vector loads never cross a cache line.
#[derive(Debug)]
pub struct Buffer {
    memory: Memory,
    len: usize,
}

/// Memory for at least as many values as are used of it. Pages are zero until written, and past `len` again.
#[derive(Debug)]
enum Memory {
    Heap(AVec<f32, ConstAlign<64>>),
    Pages(MmapMut),
}

impl Memory {
    fn new(len: usize) -> Result<Self, OutOfMemory> {
        let none = OutOfMemory { values: len };
        if len < PAGED {
            let mut values = AVec::new(64);
            values.try_reserve_exact(len).map_err(|_| none)?;
            values.resize(len, 0.0);
            return Ok(Self::Heap(values));
        }
        let bytes = len.checked_mul(size_of::<f32>()).ok_or(none)?;
        let pages = MmapMut::map_anon(bytes).map_err(|_| none)?;
        // Advice: where the system does not take it, pages are small.
        #[cfg(target_os = "linux")]
        let _ = pages.advise(memmap2::Advice::HugePage);
        Ok(Self::Pages(pages))
    }

    fn values(&self) -> &[f32] {
        match self {
            Self::Heap(values) => values,
            Self::Pages(pages) => bytemuck::cast_slice(pages),
        }
    }

    fn values_mut(&mut self) -> &mut [f32] {
        match self {
            Self::Heap(values) => values,
            Self::Pages(pages) => bytemuck::cast_slice_mut(pages),
        }
    }
}

impl Buffer {
    /// `len` zeros.
    ///
    /// # Panics
    /// When the machine has not that much memory.
    pub fn zeroed(len: usize) -> Self {
        Self::try_zeroed(len).unwrap_or_else(|error| panic!("{error}"))
    }

    /// A copy of `values`.
    pub fn of(values: &[f32]) -> Self {
        let mut buffer = Self::zeroed(values.len());
        buffer.copy_from_slice(values);
        buffer
    }

    /// `len` zeros.
    ///
    /// # Errors
    /// When the machine has not that much memory.
    pub fn try_zeroed(len: usize) -> Result<Self, OutOfMemory> {
        Ok(Self { memory: Memory::new(len)?, len })
    }

    /// Like [`Buffer::resize`].
    ///
    /// # Errors
    /// When the machine has not that much memory.
    pub fn try_resize(&mut self, len: usize) -> Result<(), OutOfMemory> {
        self.try_reserve(len)?;
        // What a shorter length left behind is not zero.
        if len < self.len {
            self.memory.values_mut()[len..self.len].fill(0.0);
        }
        self.len = len;
        Ok(())
    }

    /// Takes the memory for `len` values in all.
    ///
    /// # Errors
    /// When the machine has not that much memory.
    pub fn try_reserve(&mut self, len: usize) -> Result<(), OutOfMemory> {
        if len > self.memory.values().len() {
            let mut memory = Memory::new(len)?;
            memory.values_mut()[..self.len].copy_from_slice(self);
            self.memory = memory;
        }
        Ok(())
    }

    /// Grows with zeros, or shrinks, to `len` values.
    ///
    /// # Panics
    /// When the machine has not that much memory.
    pub fn resize(&mut self, len: usize) {
        self.try_resize(len).unwrap_or_else(|error| panic!("{error}"));
    }
}

impl Clone for Buffer {
    fn clone(&self) -> Self {
        Self::of(self)
    }
}

impl Default for Buffer {
    fn default() -> Self {
        Self { memory: Memory::Heap(AVec::new(64)), len: 0 }
    }
}

impl ops::Deref for Buffer {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        &self.memory.values()[..self.len]
    }
}

impl ops::DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [f32] {
        &mut self.memory.values_mut()[..self.len]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_count_and_resolve_axes() {
        let s = Shape::from([2, 3, 4]);
        assert_eq!((s.count(), s.count_of(1..), s.count_of(..1)), (24, 12, 2));
        assert_eq!((s.axis(-1), s.axis(2), s.axis(3), s.axis(-4)), (Some(2), Some(2), None, None));
        assert_eq!(Shape::default().count(), 1);
        assert_eq!(s.to_string(), "2 x 3 x 4");
        assert_eq!(s.legacy(), Some([1, 2, 3, 4]));
    }

    #[test]
    fn shapes_that_no_memory_can_hold_are_not_counted() {
        let of = |axes: &[usize]| Shape::from(axes).checked_count();
        assert_eq!((of(&[2, 0, 3]), of(&[])), (Some(0), Some(1)));
        assert_eq!((of(&[usize::MAX, 2]), of(&[0, usize::MAX]), of(&[1 << 23, 1 << 23])), (None, None, None));
        assert_eq!(Shape::from([usize::MAX, 2]).count(), usize::MAX);
    }

    #[test]
    fn halves_have_their_values() {
        for (bits, value) in [
            (0x0000, 0.0),
            (0x3c00, 1.0),
            (0xc000, -2.0),
            (0x3555, 0.333_251_95),
            (0x7bff, 65_504.0),
            (0x0001, 5.960_464_5e-8),
            (0x03ff, 6.097_555e-5),
            (0x7c00, f32::INFINITY),
            (0xfc00, f32::NEG_INFINITY),
        ] {
            assert_eq!(f32_of_half(bits), value, "{bits:#x}");
        }
        assert!(f32_of_half(0x7e00).is_nan() && f32_of_half(0x8000).is_sign_negative());
    }

    #[test]
    fn buffers_are_aligned_and_zero() {
        let mut b = Buffer::zeroed(3);
        b[1] = 2.0;
        b.resize(5);
        assert_eq!(&b[..], [0.0, 2.0, 0.0, 0.0, 0.0]);
        assert_eq!(b.as_ptr() as usize % 64, 0);
        assert_eq!(b.try_resize(2), Ok(()));
        assert_eq!(&b[..], [0.0, 2.0]);
        let mut b = Buffer::zeroed(PAGED);
        b[PAGED - 1] = 1.0;
        b.resize(PAGED - 1);
        b.resize(PAGED + 1);
        assert_eq!((b.len(), b.iter().sum::<f32>(), b.as_ptr() as usize % 64), (PAGED + 1, 0.0, 0));
        assert_eq!(b.clone().len(), PAGED + 1);
        let error = Buffer::try_zeroed(1 << 44).unwrap_err().to_string();
        assert!(error.starts_with("65536 GB of memory are needed"), "{error}");
    }
}
