//! Short lists without memory of their own.

use std::ops;

/// How many items a list keeps itself.
const SHORT: usize = 8;

/// A list that is on the stack as long as it is short: a pass makes several for each layer.
#[derive(Debug)]
pub enum Few<T> {
    /// So many of these; the others are of no meaning.
    Short([T; SHORT], usize),
    /// More than can be kept so.
    Long(Vec<T>),
}

impl<T: Default> FromIterator<T> for Few<T> {
    fn from_iter<I: IntoIterator<Item = T>>(items: I) -> Self {
        let (mut items, mut short, mut len) = (items.into_iter(), <[T; SHORT]>::default(), 0);
        while let Some(item) = items.next() {
            if len == SHORT {
                return Self::Long(short.into_iter().chain([item]).chain(items).collect());
            }
            short[len] = item;
            len += 1;
        }
        Self::Short(short, len)
    }
}

impl<T> ops::Deref for Few<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        match self {
            Self::Short(items, len) => &items[..*len],
            Self::Long(items) => items,
        }
    }
}

impl<T> ops::DerefMut for Few<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        match self {
            Self::Short(items, len) => &mut items[..*len],
            Self::Long(items) => items,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_hold_what_they_are_made_of() {
        for len in [0, 1, SHORT - 1, SHORT, SHORT + 1, 3 * SHORT] {
            let mut few: Few<String> = (0..len).map(|i| i.to_string()).collect();
            few.iter_mut().for_each(|item| item.push('x'));
            assert!(few.iter().cloned().eq((0..len).map(|i| format!("{i}x"))), "{len}");
            assert_eq!(matches!(few, Few::Long(_)), len > SHORT);
        }
    }
}
