//! Small pictures side by side: filters, feature maps, samples.

use super::{
    Tile,
    canvas::{Anchor, Canvas, Style, fitting},
};
use crate::report::draw::{
    letters::text_width,
    style::{INK, PALE},
};

/// Small pictures and what is written on them.
#[derive(Clone, Debug, Default)]
pub struct Sheet {
    /// Above all.
    pub title: String,
    /// Below the title.
    pub subtitle: String,
    /// The small pictures.
    pub tiles: Vec<Tile>,
    /// Below each, or nothing at all.
    pub captions: Vec<String>,
    /// How many stand in a row; as near to a square as their number allows if not given.
    pub columns: Option<usize>,
}

const MARGIN: usize = 16;
/// Between tiles: a thin line of paper.
const GAP: usize = 3;
/// Where a tile has a caption, it is at least so wide.
const CAPTION: usize = 64;
const LINE: usize = 14;
/// A tile is enlarged by a whole number to about this side; with a caption to the second.
const SIDE: [usize; 2] = [54, 72];
/// A sheet of many tiles is not made much wider than this.
const WIDEST: usize = 900;

/// The picture of a sheet, as PNG.
///
/// # Errors
/// Says why when it is too large for memory.
pub fn tiles(sheet: &Sheet) -> Result<Vec<u8>, String> {
    let count = sheet.tiles.len().max(1);
    let [w, h] =
        [0, 1].map(|axis| sheet.tiles.iter().map(|t| [t.width, t.height][axis]).max().unwrap_or(1).max(1));
    let columns =
        sheet.columns.unwrap_or((count as f64 * h as f64 / w as f64).sqrt().ceil() as usize).clamp(1, count);
    let captions = !sheet.captions.is_empty();
    let room = ((WIDEST / columns).saturating_sub(GAP)).max(1);
    let (side, longest) = (SIDE[usize::from(captions)].min(room), w.max(h));
    let zoom = ((side + longest / 2) / longest).max(1);
    let cell = [
        (w * zoom).max(if captions { CAPTION } else { 0 }) + GAP,
        h * zoom + GAP + if captions { LINE + 4 } else { 0 },
    ];
    let top =
        MARGIN + if sheet.title.is_empty() { 0 } else { 24 } + if sheet.subtitle.is_empty() { 0 } else { 18 };
    let title = [(&sheet.title, 15.0, true), (&sheet.subtitle, 11.0, false)];
    let title_width = title.map(|(text, size, bold)| text_width(text, size, bold) as usize + 1);
    let width = 2 * MARGIN + (columns * cell[0] - GAP).max(title_width[0]).max(title_width[1].min(WIDEST));
    let height = top + count.div_ceil(columns) * cell[1] - GAP + MARGIN;
    let mut canvas = Canvas::new(width, height)?;
    let mut y = MARGIN as f32 + 12.0;
    for ((text, size, bold), color) in title.into_iter().zip([INK, PALE]) {
        canvas.text(text, [MARGIN as f32, y], Anchor::Start, Style { size, bold, color });
        y += 20.0;
    }
    for (i, tile) in sheet.tiles.iter().enumerate() {
        let corner = [MARGIN + i % columns * cell[0], top + i / columns * cell[1]];
        let inside = [w - tile.width, h - tile.height].map(|free| free * zoom / 2);
        let space = (cell[0] - GAP - w * zoom) / 2;
        canvas.tile(tile, [corner[0] + space + inside[0], corner[1] + inside[1]], zoom);
        if let Some(caption) = sheet.captions.get(i) {
            let at = [(corner[0] + (cell[0] - GAP) / 2) as f32, (corner[1] + h * zoom + LINE - 2) as f32];
            let text = fitting(caption, 10.0, cell[0] as f32);
            canvas.text(&text, at, Anchor::Middle, Style { size: 10.0, bold: false, color: PALE });
        }
    }
    canvas.png()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tile(side: usize, color: [u8; 3]) -> Tile {
        Tile { width: side, height: side, pixels: vec![color; side * side] }
    }

    #[test]
    fn tiles_stand_in_a_square_with_paper_between() {
        let sheet = Sheet { tiles: vec![tile(4, [9, 8, 7]); 5], ..Sheet::default() };
        let image = image::load_from_memory(&tiles(&sheet).unwrap()).unwrap().to_rgb8();
        let side = 4 * ((SIDE[0] + 2) / 4) + GAP;
        assert_eq!(
            image.dimensions(),
            (2 * (2 * MARGIN + 3 * side - GAP) as u32, 2 * (2 * MARGIN + 2 * side - GAP) as u32)
        );
        let at = |x: usize, y: usize| image.get_pixel(2 * x as u32, 2 * y as u32).0;
        assert_eq!(at(MARGIN, MARGIN), [9, 8, 7]);
        assert_eq!(at(MARGIN + side - 1, MARGIN), [255; 3], "between");
        assert_eq!(at(MARGIN + side, MARGIN + side), [9, 8, 7], "the fifth");
        assert_eq!(at(MARGIN + 2 * side, MARGIN + side), [255; 3], "no sixth");
    }

    #[test]
    fn captions_need_room() {
        let mut sheet =
            Sheet { tiles: vec![tile(2, [0; 3]), tile(3, [0; 3])], columns: Some(2), ..Sheet::default() };
        let size =
            |sheet: &Sheet| image::load_from_memory(&tiles(sheet).unwrap()).unwrap().to_rgb8().dimensions();
        let bare = size(&sheet);
        sheet.captions = vec!["7 as 1".into(), "a name that is far too long for so small a picture".into()];
        sheet.title = "title".into();
        let full = size(&sheet);
        assert!(full.1 > bare.1 && full.0 > bare.0, "{bare:?} {full:?}");
        assert!(tiles(&Sheet::default()).is_ok());
    }
}
