//! The layout of an LMDB file (data version 1, 64-bit, little-endian), as far as it concerns one plain B+ tree.
//!
//! ```text
//! page    number u64 | pad u16 | flags u16 | lower u16, upper u16 (or: pages u32) | ...
//! meta    page header | magic u32 | version u32 | address u64 | map size u64 | free tree | main tree | last page u64 | transaction u64
//! tree    pad u32 | flags u16 | depth u16 | branch, leaf, overflow pages u64 | entries u64 | root u64
//! branch  page header | node offsets u16 ... | nodes: child u48 | key length u16 | key
//! leaf    page header | node offsets u16 ... | nodes: length u32 | flags u16 | key length u16 | key | value
//! ```
//!
//! The page size stands in the free tree's `pad`. A value that does not fit a page has the number of its first
//! overflow page in its place.

/// Bytes of a page's header.
pub(super) const HEADER: usize = 16;
/// Bytes of a node before its key.
pub(super) const NODE: usize = 8;
pub(super) const MAGIC: u32 = 0xBEEF_C0DE;
pub(super) const VERSION: u32 = 1;
/// The root of a tree without pages.
pub(super) const NO_PAGE: u64 = u64::MAX;

pub(super) const BRANCH: u16 = 0x01;
pub(super) const LEAF: u16 = 0x02;
pub(super) const OVERFLOW: u16 = 0x04;
pub(super) const META: u16 = 0x08;

/// A node's value stands in overflow pages.
pub(super) const BIG: u16 = 0x01;
/// A node's value is a tree of its own: a named database.
const SUBTREE: u16 = 0x02;

/// Reads little-endian numbers; `None` past the end.
pub(super) fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..at + 2)?.try_into().ok().map(u16::from_le_bytes)
}

pub(super) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at + 4)?.try_into().ok().map(u32::from_le_bytes)
}

pub(super) fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..at + 8)?.try_into().ok().map(u64::from_le_bytes)
}

/// What a meta page says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Meta {
    pub page_size: usize,
    pub depth: u16,
    pub entries: u64,
    pub root: u64,
    pub last_page: u64,
    pub transaction: u64,
}

impl Meta {
    /// Bytes of a meta page that are used.
    pub const SIZE: usize = HEADER + 24 + 2 * 48 + 16;

    pub fn parse(page: &[u8]) -> Option<Self> {
        let body = page.get(HEADER..)?;
        if u32_at(body, 0)? != MAGIC || u32_at(body, 4)? != VERSION {
            return None;
        }
        let (free, main) = (body.get(24..72)?, body.get(72..120)?);
        let page_size = u32_at(free, 0)? as usize;
        (page_size.is_power_of_two() && (256..=1 << 16).contains(&page_size)).then_some(())?;
        Some(Self {
            page_size,
            depth: u16_at(main, 6)?,
            entries: u64_at(main, 32)?,
            root: u64_at(main, 40)?,
            last_page: u64_at(body, 120)?,
            transaction: u64_at(body, 128)?,
        })
    }
}

/// A branch or leaf page whose header has been checked.
#[derive(Debug)]
pub(super) struct Page {
    bytes: Vec<u8>,
    pub is_leaf: bool,
    /// How many nodes.
    pub len: usize,
}

/// The value of a leaf node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Value<'a> {
    Here(&'a [u8]),
    /// In overflow pages from this one on.
    Overflow {
        page: u64,
        len: usize,
    },
}

impl Page {
    pub fn parse(bytes: Vec<u8>, number: u64) -> Result<Self, &'static str> {
        let (Some(own), Some(flags), Some(lower)) =
            (u64_at(&bytes, 0), u16_at(&bytes, 10), u16_at(&bytes, 12))
        else {
            return Err("it is too short");
        };
        let lower = usize::from(lower);
        if own != number {
            return Err("it carries another page's number");
        }
        if lower < HEADER || lower > bytes.len() || !lower.is_multiple_of(2) {
            return Err("its node table is damaged");
        }
        let is_leaf = match flags & !0xc010 {
            LEAF => true,
            BRANCH => false,
            _ => return Err("it is neither a branch nor a plain leaf"),
        };
        Ok(Self { is_leaf, len: (lower - HEADER) / 2, bytes })
    }

    fn node(&self, i: usize) -> Option<&[u8]> {
        self.bytes.get(usize::from(u16_at(&self.bytes, HEADER + 2 * i)?)..)
    }

    /// The child page of a branch node.
    pub fn child(&self, i: usize) -> Option<u64> {
        let node = self.node(i)?;
        Some(u64::from(u32_at(node, 0)?) | u64::from(u16_at(node, 4)?) << 32)
    }

    /// The key and value of a leaf node.
    pub fn entry(&self, i: usize) -> Option<(&[u8], Value<'_>)> {
        let node = self.node(i)?;
        let len = u32_at(node, 0)? as usize;
        let flags = u16_at(node, 4)?;
        let key_len = usize::from(u16_at(node, 6)?);
        let key = node.get(NODE..NODE + key_len)?;
        let rest = node.get(NODE + key_len..)?;
        let value = match flags {
            0 => Value::Here(rest.get(..len)?),
            BIG => Value::Overflow { page: u64_at(rest, 0)?, len },
            _ => return None,
        };
        Some((key, value))
    }

    /// True if the node is a named database rather than an entry.
    pub fn is_subtree(&self, i: usize) -> bool {
        self.node(i).and_then(|node| u16_at(node, 4)).is_some_and(|flags| flags & SUBTREE != 0)
    }
}
